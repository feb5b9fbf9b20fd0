package signing

import (
	"bytes"
	"fmt"
)

// ASN.1, as far as needed to recognise a PKCS#12 file: a SEQUENCE that begins with the INTEGER 3. A
// certificate begins with another SEQUENCE, a key with 0.
const (
	tagSequence      = 0x30
	lengthIndefinite = 0x80 // BER, as some exporters write it
	maxLengthBytes   = 4
)

var version3 = []byte{0x02, 0x01, 0x03} //nolint:gochecknoglobals // a constant

// checkPKCS12 checks that data is a complete PKCS#12 file. It returns ErrFormat or ErrDamaged. The
// content is encrypted, so nothing more can be checked.
func checkPKCS12(data []byte) error {
	if len(data) < 2 || data[0] != tagSequence {
		return ErrFormat
	}
	header, length := 2, int64(data[1])
	if n := int(data[1] & 0x7f); data[1] > lengthIndefinite {
		if n > maxLengthBytes || len(data) < 2+n {
			return ErrFormat
		}
		header, length = 2+n, 0
		for _, b := range data[2:header] {
			length = length<<8 | int64(b)
		}
	}
	content := data[header:]
	switch {
	case !bytes.HasPrefix(content, version3):
		return ErrFormat
	case data[1] != lengthIndefinite && int64(len(content)) < length:
		return fmt.Errorf("%w: the .p12 file should have %d bytes more", ErrDamaged, length-int64(len(content)))
	}
	return nil
}
