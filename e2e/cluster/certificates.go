package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificates are files: an authority of the cluster's own, and what it signed for everything that listens.
type certificates struct {
	ca, cert, key string
}

const caFile = "ca.pem"

// newCertificates signs for these addresses. The authority's key is forgotten.
func newCertificates(dir string, addresses []string) (*certificates, error) {
	caKey, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	key, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err1 != nil || err2 != nil {
		return nil, fmt.Errorf("make keys: %w, %w", err1, err2)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Free Agent cluster on one machine"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, 30),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "freeagent"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, a := range addresses {
		leaf.IPAddresses = append(leaf.IPAddresses, net.ParseIP(a))
	}
	caDER, err1 := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	leafDER, err2 := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	keyDER, err3 := x509.MarshalPKCS8PrivateKey(key)
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			return nil, fmt.Errorf("make certificates: %w", err)
		}
	}
	c := &certificates{ca: filepath.Join(dir, caFile), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	for _, f := range []struct {
		path, kind string
		der        []byte
	}{{c.ca, "CERTIFICATE", caDER}, {c.cert, "CERTIFICATE", leafDER}, {c.key, "PRIVATE KEY", keyDER}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), secretsMode); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// copyFor gives another user copies of the certificate and its key.
func (c *certificates) copyFor(dir string, uid, gid int, chown bool) (cert, key string, err error) {
	var paths []string
	for _, from := range []string{c.cert, c.key} {
		data, err := os.ReadFile(from)
		if err != nil {
			return "", "", err
		}
		to := filepath.Join(dir, filepath.Base(from))
		if err := os.WriteFile(to, data, secretsMode); err != nil {
			return "", "", err
		}
		if chown {
			if err := os.Chown(to, uid, gid); err != nil {
				return "", "", err
			}
		}
		paths = append(paths, to)
	}
	return paths[0], paths[1], nil
}
