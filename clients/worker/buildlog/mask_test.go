package buildlog_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/expo-free-agent/freeagent/clients/worker/buildlog"
)

// The tokens are put together here so that nobody's scanner takes this file for a leak.
func tokens() map[string]string {
	a36, a40 := strings.Repeat("aB3", 12), strings.Repeat("xY9z", 10)
	return map[string]string{
		"AWS key id": "AKIA" + "IOSFODNN7EXAMPLE", "GitHub": "ghp" + "_" + a36, "GitHub app": "ghs" + "_" + a40,
		"GitHub fine": "github" + "_pat_" + "11ABCDEFG0123456789_abcdef", "npm": "npm" + "_" + a36,
		"Slack": "xoxb" + "-123456789012-" + a36, "GitLab": "glpat" + "-" + "abcdefghij0123456789", "Google": "AI" + "za" + a36[:35],
		"Stripe": "sk" + "_live_" + a36, "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9",
	}
}

func TestShapesOfTokens(t *testing.T) {
	t.Parallel()
	mask := buildlog.NewMask(nil)
	for name, token := range tokens() {
		for _, around := range []string{"%s", "token %s.", "x=%s&y=1", `{"token":"%s"}`, "\x1b[31m%s\x1b[0m", "(%s)", "ü%s ü"} {
			text := fmt.Sprintf(around, token)
			want := fmt.Sprintf(around, "[secret]")
			if got := mask.Text(text); got != want && got != strings.Replace(want, "[secret].", "[secret]", 1) {
				t.Errorf("%s: Text(%q) = %q, want %q", name, text, got, want)
			}
		}
	}
	a40 := strings.Repeat("xY9/", 10)
	for text, want := range map[string]string{
		"clone https://user:hunter2@example.com/a.git":                    "clone https://user:[secret]@example.com/a.git",
		"postgres://u:p%40ss@db:5432/x?y=@":                               "postgres://u:[secret]@db:5432/x?y=@",
		"Authorization: Bearer abc.def-ghi_jkl":                           "Authorization: Bearer [secret]",
		`"authorization": "Basic dXNlcjpwYXNz"`:                           `"authorization": "Basic [secret]"`,
		"//registry.npmjs.org/:_authToken=0123456789abc":                  "//registry.npmjs.org/:_authToken=[secret]",
		"aws_secret_access_key = " + a40:                                  "aws_secret_access_key = [secret]",
		`"SecretAccessKey": "` + a40 + `"`:                                `"SecretAccessKey": "[secret]"`,
		"GET /x?access_token=0123456789abcdef0 HTTP/1.1":                  "GET /x?access_token=[secret] HTTP/1.1",
		"X-Amz-Signature=" + strings.Repeat("0f", 32):                     "X-Amz-Signature=[secret]",
		"-----BEGIN PRIVATE KEY-----\\nMII\\n-----END PRIVATE KEY----- x": "[secret] x",
	} {
		if got := mask.Text(text); got != want {
			t.Errorf("Text(%q) = %q, want %q", text, got, want)
		}
	}
	for _, innocent := range []string{
		"npm_config_registry=https://registry.npmjs.org/", "npm_package_name_is_quite_long_and_has_underscores", "AKIA", "MAKIAVELLIXXXXXXXXXXXXX",
		"ghp_short", "eyJust a word", "https://example.com:8080/a@b", "git@github.com:a/b.git", "sha512-" + strings.Repeat("Ab1/", 21) + "==",
		"authorization failed", "Authorization: none", "-----BEGIN CERTIFICATE-----", "://", "::", "", "e", "xoxb-",
	} {
		if got := mask.Text(innocent); got != innocent {
			t.Errorf("Text(%q) = %q, want it as it is", innocent, got)
		}
	}
}

func TestPrivateKeyOverLines(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n", 3)
	for name, tt := range map[string]struct {
		in   string
		want []string
	}{
		"whole": {"before\n-----BEGIN RSA PRIVATE KEY-----\n" + body + "Zw==\n-----END RSA PRIVATE KEY-----\nafter\nAbcdefghijklmnopqrstuvw\n",
			[]string{"before", "[secret]", "[secret]", "[secret]", "[secret]", "[secret]", "[secret]", "after", "Abcdefghijklmnopqrstuvw"}},
		"indented and quoted": {"key: '-----BEGIN PRIVATE KEY-----\n  " + strings.TrimSuffix(body, "\n") + "\n  -----END PRIVATE KEY-----'\nafter\n",
			[]string{"key: '[secret]", "[secret]", "[secret]", "[secret]", "[secret]", "after"}},
		"with a prefix": {"-----BEGIN EC PRIVATE KEY-----\n12:00 MIIEvQIBADANBgkqhkiG9w0BAQEF\nafter all\n", []string{"[secret]", "12:00 [secret]", "after all"}},
		"no key at all": {"expected -----BEGIN PRIVATE KEY----- here\nError: one two three\nerror two!\nat three:3\nAbcdefghijklmnopqrstuvw\n",
			[]string{"expected [secret]", "Error: one two three", "error two!", "at three:3", "Abcdefghijklmnopqrstuvw"}},
	} {
		if diff := cmp.Diff(tt.want, linesOf(buildlog.NewMask(nil), tt.in)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestSecretsInOtherClothes(t *testing.T) {
	t.Parallel()
	secret := `p@ss "w\rd" ` + "\u00fc"
	mask := buildlog.NewMask([]string{secret})
	for _, text := range []string{
		secret, base64.StdEncoding.EncodeToString([]byte(secret)), `p%40ss+%22w%5Crd%22+%C3%BC`, `{"v":"p@ss \"w\\rd\" ` + "\u00fc" + `"}`,
	} {
		if got := mask.Text("a " + text + " b"); !strings.Contains(got, "[secret]") || strings.Contains(got, "ss") {
			t.Errorf("Text(%q) = %q", text, got)
		}
	}
}

// TestSecretsOverLines: programs break base64 after 64 or 76 characters, and some write hexadecimal in capitals.
func TestSecretsOverLines(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("0123456789-Pl4nted-S3cret/", 6)
	mask := buildlog.NewMask([]string{secret})
	encoded := base64.StdEncoding.EncodeToString([]byte(secret))
	for _, width := range []int{64, 76} {
		for from := 0; from < len(encoded); from += width {
			line := encoded[from:min(from+width, len(encoded))]
			if got := mask.Text(line); got != "[secret]" {
				t.Errorf("of %d characters a line: %q is %q", width, line, got)
			}
		}
	}
	if got := mask.Text(strings.ToUpper(hex.EncodeToString([]byte(secret)))); got != "[secret]" {
		t.Errorf("hexadecimal in capitals: %q", got)
	}
}

// TestTokensLongerThanAPiece: nothing of a token shows that is longer than what is looked at.
func TestTokensLongerThanAPiece(t *testing.T) {
	t.Parallel()
	token := "ghp" + "_" + strings.Repeat("aB3", 20_000)
	for _, before := range []int{0, 1, buildlog.MaxLine - 40, buildlog.MaxLine - 1, buildlog.MaxLine} {
		got := linesOf(buildlog.NewMask(nil), strings.Repeat(" ", before)+token+" end\nnext\n")
		if all := strings.Join(got, "\n"); strings.Contains(all, "aB3") || !strings.HasSuffix(all, " end\nnext") {
			t.Errorf("after %d bytes: it ends with %.60q", before, all[max(0, len(all)-60):])
		}
	}
}

// FuzzLines: what is written in whichever pieces gives the same lines, and secrets show in none.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nb\rc\r\n"), uint64(1), "hunter22")
	f.Add([]byte(strings.Repeat("x", 17_000)+"\xe2\x96\xb8"), uint64(2), "-----BEGIN")
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMIIE\n"), uint64(3), "a\nb c d e\n")
	f.Fuzz(func(t *testing.T, data []byte, seed uint64, secret string) {
		r := rand.New(rand.NewPCG(seed, 0))
		const planted = "Pl4nted-S3cret/Value"
		mask := buildlog.NewMask([]string{secret, planted})
		at := r.IntN(len(data) + 1)
		data = slices.Concat(data[:at], []byte(planted), data[at:])
		if pad := r.IntN(4); pad == 0 {
			data = append([]byte(strings.Repeat("-", buildlog.MaxLine-r.IntN(64))), data...)
		}
		whole := linesOf(mask, string(data))
		var pieces []string
		for rest := data; len(rest) > 0; {
			n := 1 + r.IntN(min(len(rest), 1+r.IntN(5000)))
			pieces, rest = append(pieces, string(rest[:n])), rest[n:]
		}
		if diff := cmp.Diff(whole, linesOf(mask, pieces...)); diff != "" {
			t.Errorf("in pieces: %s", diff)
		}
		if all := strings.Join(whole, "\n"); strings.Contains(strings.ReplaceAll(all, buildlog.Continued+"\n", ""), planted) {
			t.Errorf("the secret shows in %q", all)
		}
	})
}

// TestSecretName: words of a name decide, not where it begins.
func TestSecretName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"SENTRY_AUTH_TOKEN", "NPM_TOKEN", "TOKEN", "KEYSTORE_PASS", "KEYSTORE_PASSWORD", "MATCH_PASSPHRASE", "MAPS_APIKEY", "API_KEY", "apiKey", "authToken",
		"SIGNING_PW", "DB_PWD", "GOOGLE_CREDENTIALS", "AWS_SECRET_ACCESS_KEY", "SECRET_KEY_BASE", "PRIVATE_KEY", "TOKEN_2", "API_KEYS", "BASIC_AUTH",
		"AUTH_HEADER", "npm_config__authToken", "npm_config__auth", "npm_config__password", "PGPASSWORD", "GH_PAT", "STRIPE_KEY_ANDROID",
	} {
		if !buildlog.SecretName(name) {
			t.Errorf("SecretName(%s) = false", name)
		}
	}
	for _, name := range []string{
		"AUTH_MODE", "AUTH_URL", "AUTH0_DOMAIN", "AUTHOR", "AUTHORITY", "TOKEN_URL", "PASSWORD_FILE", "KEY_ALIAS", "KEYBOARD", "MONKEY", "TOKENIZER", "PRIVATE_KEY_PATH",
		"COMPASS", "BYPASS", "PATH", "APP_ENV", "API_URL", "", "_", "SECRETARY", "AUTH_STRATEGY", "npm_config_auth_type",
	} {
		if buildlog.SecretName(name) {
			t.Errorf("SecretName(%s) = true", name)
		}
	}
}

// TestShortValuesStay: a word of a log is no secret because a variable has it.
func TestShortValuesStay(t *testing.T) {
	t.Parallel()
	if got := buildlog.NewMask([]string{"test", "1", "", " dev \n"}).Text("running the unit tests of dev 1"); strings.Contains(got, "[secret]") {
		t.Errorf("Text = %q", got)
	}
}

// TestEncodedInALongerText: a value shows in base64 wherever in the encoded text it stands, and in URLs and JSON of any writer.
func TestEncodedInALongerText(t *testing.T) {
	t.Parallel()
	secret := "hunter22/&+x<y> z?"
	mask := buildlog.NewMask([]string{secret + "\n", "line one of it\nab\nline two of it\n"})
	enc := base64.StdEncoding.EncodeToString
	for _, text := range []string{
		enc([]byte(secret)), enc([]byte("u" + secret)), enc([]byte("us" + secret)), enc([]byte("use:" + secret + "/tail")), enc([]byte("use" + secret + "\nx")),
		base64.RawURLEncoding.EncodeToString([]byte("ab" + secret)), "hunter22%2F%26%2Bx%3Cy%3E+z%3F", "hunter22%2f%26%2bx%3cy%3e%20z%3f", `hunter22/&+x<y> z?`,
		`hunter22/\u0026+x\u003cy\u003e z?`, fmt.Sprintf("%x", secret), "line one of it", "line two of it", `line one of it\nab\nline two of it`,
	} {
		if got := mask.Text("a " + text + " b"); !strings.Contains(got, "[secret]") || strings.Contains(got, text) {
			t.Errorf("Text(%q) = %q", text, got)
		}
	}
	if got := mask.Text("ab is short"); got != "ab is short" {
		t.Errorf("a short line of a long value: %q", got)
	}
}
