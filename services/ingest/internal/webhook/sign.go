package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // EAS's webhooks are signed with it; ours are beside it
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// Headers of a delivery. IDHeader, TimestampHeader and StandardHeader follow Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
// EASHeader is what receivers of EAS check.
const (
	IDHeader        = standardwebhooks.HeaderWebhookID
	TimestampHeader = standardwebhooks.HeaderWebhookTimestamp
	StandardHeader  = standardwebhooks.HeaderWebhookSignature
	EventHeader     = "Freeagent-Event"
	EASHeader       = "Expo-Signature"
	// DeliveryHeader has the same value as IDHeader. SignatureHeader is "t=<seconds>,v1=<hex>", the
	// HMAC-SHA256 of "<seconds>.<body>". Both are deprecated.
	DeliveryHeader  = "Freeagent-Delivery"
	SignatureHeader = "Freeagent-Signature"
)

// NewSecret returns a random secret of 256 bits in the form that libraries of Standard Webhooks
// expect.
func NewSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(key)
}

// secretPrefix begins a secret whose rest is the Base64 of the key.
const secretPrefix = "whsec_"

// Signature returns the value of SignatureHeader.
func Signature(secret, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s", t, body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Sign sets the headers of the delivery id.
func Sign(h http.Header, f Format, id string, secret, body []byte, at time.Time) {
	h.Set(DeliveryHeader, id)
	h.Set(SignatureHeader, Signature(secret, body, at))
	h.Set(IDHeader, id)
	h.Set(TimestampHeader, strconv.FormatInt(at.Unix(), 10))
	h.Set(StandardHeader, standardSignature(id, secret, body, at))
	if f == EAS {
		mac := hmac.New(sha1.New, secret)
		mac.Write(body)
		h.Set(EASHeader, "sha1="+hex.EncodeToString(mac.Sum(nil)))
	}
}

// standardSignature returns the value of StandardHeader. A secret of the form whsec_BASE64 is the
// key that it encodes; the bytes of any other secret are the key.
func standardSignature(id string, secret, body []byte, at time.Time) string {
	signer, err := standardwebhooks.NewWebhook(string(secret))
	if err != nil || !bytes.HasPrefix(secret, []byte(secretPrefix)) {
		signer, _ = standardwebhooks.NewWebhookRaw(secret) // cannot fail
	}
	signature, _ := signer.Sign(id, at, body) // cannot fail
	return signature
}
