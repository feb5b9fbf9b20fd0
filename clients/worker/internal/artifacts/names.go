package artifacts

import (
	"path"
	"slices"
	"strings"
)

// hidden reports whether a file or directory is taken only if the glob names it.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "Pods"
}

// explicitIn returns the words of a glob that can name what is hidden, in lower case.
func explicitIn(glob string) map[string]bool {
	words := map[string]bool{}
	for _, w := range strings.FieldsFunc(glob, func(r rune) bool { return strings.ContainsRune("/{},", r) }) {
		words[strings.ToLower(w)] = true
	}
	return words
}

// isSecretDir reports whether a directory is never entered.
func isSecretDir(name string) bool {
	return slices.Contains([]string{".git", ".ssh", ".gnupg", ".aws", ".azure", ".docker", ".kube", ".netlify"}, strings.ToLower(name))
}

// isSecret reports whether the name of a file says that it holds credentials, or a directory on its path is never entered.
func isSecret(name string) bool {
	if slices.ContainsFunc(strings.Split(path.Dir(name), "/"), isSecretDir) {
		return true
	}
	base := strings.ToLower(path.Base(name))
	switch base {
	case ".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", ".netrc", "_netrc", ".pypirc", ".git-credentials", ".envrc", "credentials.json", "auth.json",
		"key.properties", "keystore.properties", "signing.properties", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519":
		return true
	}
	switch path.Ext(base) {
	case ".jks", ".keystore", ".p12", ".p8", ".pfx", ".pem", ".key":
		return true
	}
	return base == ".env" || strings.HasPrefix(base, ".env.") || strings.HasSuffix(base, ".json") && strings.Contains(base, "service-account")
}
