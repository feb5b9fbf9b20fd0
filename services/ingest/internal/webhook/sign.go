package webhook

import (
	"crypto/hmac"
	"crypto/sha1" // EAS's webhooks are signed with it; ours are beside it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// The headers of a delivery. SignatureHeader is "t=<seconds>,v1=<hex>", the HMAC-SHA256 of "<seconds>.<body>": a receiver that
// checks both and refuses old ones cannot be fooled with what was sent once. EASHeader is what receivers of EAS check.
const (
	SignatureHeader = "Freeagent-Signature"
	DeliveryHeader  = "Freeagent-Delivery"
	EventHeader     = "Freeagent-Event"
	EASHeader       = "Expo-Signature"
)

// Signature of a body at a time.
func Signature(secret, body []byte, at time.Time) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s", t, body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Sign sets the headers of a delivery.
func Sign(h http.Header, f Format, secret, body []byte, at time.Time) {
	h.Set(SignatureHeader, Signature(secret, body, at))
	if f == EAS {
		mac := hmac.New(sha1.New, secret)
		mac.Write(body)
		h.Set(EASHeader, "sha1="+hex.EncodeToString(mac.Sum(nil)))
	}
}
