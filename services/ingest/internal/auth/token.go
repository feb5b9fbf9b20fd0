package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// Token returns what lets a submitter follow its one build without an API key. It is made from the build's id and a key of the
// gateways, so nothing is stored and a repeated answer holds the same token (docs/decisions/0002).
func (g *Guard) Token(buildID string) string {
	mac := hmac.New(sha256.New, g.tokenKey)
	mac.Write([]byte("build-token:" + buildID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ValidToken compares in constant time.
func (g *Guard) ValidToken(buildID, token string) bool {
	return hmac.Equal([]byte(token), []byte(g.Token(buildID)))
}
