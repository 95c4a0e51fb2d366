package seal

import (
	"fmt"
	"strings"
)

// charset are the digits of bech32 (BIP 173), which age writes its keys with.
const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// checksumLength is how many digits at the end are a checksum.
const checksumLength = 6

// polymod is the checksum of BIP 173 over digits.
func polymod(digits []byte) uint32 {
	generator := [5]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3}
	sum := uint32(1)
	for _, d := range digits {
		top := sum >> 25
		sum = (sum&0x1ffffff)<<5 ^ uint32(d)
		for i, g := range generator {
			if top>>i&1 == 1 {
				sum ^= g
			}
		}
	}
	return sum
}

// spread is the human-readable part as the checksum sees it.
func spread(hrp string) []byte {
	b := make([]byte, 0, 2*len(hrp)+1)
	for i := range len(hrp) {
		b = append(b, hrp[i]>>5)
	}
	b = append(b, 0)
	for i := range len(hrp) {
		b = append(b, hrp[i]&31)
	}
	return b
}

// encodeBech32 writes data behind a human-readable part in lower case.
func encodeBech32(hrp string, data []byte) string {
	digits := make([]byte, 0, len(data)*8/5+1+checksumLength)
	bits, have := uint32(0), 0
	for _, b := range data {
		bits, have = bits<<8|uint32(b), have+8
		for have >= 5 {
			have -= 5
			digits = append(digits, byte(bits>>have)&31)
		}
	}
	if have > 0 {
		digits = append(digits, byte(bits<<(5-have))&31)
	}
	sum := polymod(append(append(spread(hrp), digits...), make([]byte, checksumLength)...)) ^ 1
	for i := range checksumLength {
		digits = append(digits, byte(sum>>(5*(checksumLength-1-i)))&31)
	}
	var s strings.Builder
	s.WriteString(hrp + "1")
	for _, d := range digits {
		s.WriteByte(charset[d])
	}
	return s.String()
}

// decodeBech32 reads what encodeBech32 wrote, nothing else. What it reads may be a
// secret: its errors do not quote it.
func decodeBech32(hrp, s string) ([]byte, error) {
	rest, ok := strings.CutPrefix(s, hrp+"1")
	if !ok {
		return nil, fmt.Errorf("it does not begin with %q", hrp+"1")
	}
	if len(rest) < checksumLength {
		return nil, fmt.Errorf("it is too short")
	}
	digits := make([]byte, len(rest))
	for i := range len(rest) {
		d := strings.IndexByte(charset, rest[i])
		if d < 0 {
			return nil, fmt.Errorf("character %d is none of those that are used", len(hrp)+2+i)
		}
		digits[i] = byte(d)
	}
	if polymod(append(spread(hrp), digits...)) != 1 {
		return nil, fmt.Errorf("a character is wrong: the checksum does not fit")
	}
	digits = digits[:len(digits)-checksumLength]
	data := make([]byte, 0, len(digits)*5/8)
	bits, have := uint32(0), 0
	for _, d := range digits {
		bits, have = bits<<5|uint32(d), have+5
		if have >= 8 {
			have -= 8
			data = append(data, byte(bits>>have))
		}
	}
	if have >= 5 || bits&(1<<have-1) != 0 {
		return nil, fmt.Errorf("it ends with bits that mean nothing")
	}
	return data, nil
}
