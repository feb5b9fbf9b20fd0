package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
)

// Token returns the build token, with which a submitter can follow the build without an API key. It
// is derived from the build's id and the gateways' token key, so nothing is stored and repeated
// responses have the same token (docs/decisions/0002).
func (g *Guard) Token(buildID string) string {
	mac := hmac.New(sha256.New, g.tokenKey)
	mac.Write([]byte("build-token:" + buildID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// ValidToken reports whether the token is the build's. It compares in constant time.
func (g *Guard) ValidToken(buildID, token string) bool {
	return hmac.Equal([]byte(token), []byte(g.Token(buildID)))
}
