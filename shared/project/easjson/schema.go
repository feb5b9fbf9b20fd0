package easjson

import (
	"regexp"
	"slices"
)

// kind is the type that a schema demands.
type kind int

const (
	text kind = iota
	boolean
	number01
	list
	object
	alternatives
)

// schema describes what a value may be. The zero value is any text that is not empty.
type schema struct {
	kind kind
	// fields are the keys of an object, in the order in which problems are reported.
	fields []field
	// others is the schema of all other keys of an object. The empty key is never allowed.
	others *schema
	// either are two keys of an object that exclude each other.
	either [2]string
	// rename moves the value of the first key of an object to the second.
	rename [2]string
	// items is the schema of a list's elements.
	items *schema
	// alternatives are tried in order.
	alternatives []*schema
	// oneOf are the only values.
	oneOf []string
	// nullable makes null the same as no key.
	nullable bool
	// min and max bound the length of text in UTF-16 units; 0 is no bound.
	min, max int
	pattern  *regexp.Regexp
	// version demands a semantic version.
	version bool
	// only allows the key if its sibling has a value.
	only *condition
	// messages replace the texts of problems, by code.
	messages map[string]string
}

// field is a key of an object.
type field struct {
	name   string
	schema *schema
}

// condition makes a key depend on a sibling.
type condition struct {
	sibling, value string
	// required demands the key if the sibling has the value.
	required bool
}

var (
	channelPattern     = regexp.MustCompile(`^[a-z\d][a-z\d._-]*$`)
	environmentPattern = regexp.MustCompile(`^[a-z0-9_-]+$`)
)

func texts() *schema    { return &schema{} }
func booleans() *schema { return &schema{kind: boolean} }
func versions() *schema { return &schema{nullable: true, version: true} }
func lists() *schema    { return &schema{kind: list, items: texts()} }

func enum(values ...string) *schema { return &schema{oneOf: values} }

// root is the schema of eas.json.
func root() *schema {
	return &schema{kind: object, fields: []field{
		{"$schema", texts()},
		{"cli", &schema{kind: object, fields: []field{
			{"version", texts()},
			{"requireCommit", booleans()},
			{"appVersionSource", enum("local", "remote")},
			{"promptToConfigurePushNotifications", booleans()},
			{"updateAssetHostOverride", texts()},
			{"updateManifestHostOverride", texts()},
		}}},
		{"build", &schema{kind: object, others: buildProfile()}},
		{"submit", &schema{kind: object, others: submitProfile()}},
	}}
}

func buildProfile() *schema {
	return &schema{kind: object, fields: append(commonFields(enum("default", "medium", "large"), increments()),
		field{"extends", texts()},
		field{"android", androidProfile()},
		field{"ios", iosProfile()},
	)}
}

// increments is what autoIncrement may be: true, false or one of the values.
func increments(values ...string) *schema {
	s := &schema{kind: alternatives, alternatives: []*schema{booleans()}}
	if len(values) > 0 {
		s.alternatives = append(s.alternatives, booleans(), enum(values...))
	}
	return s
}

// commonFields are the keys of a profile and of its platforms.
func commonFields(resourceClass, autoIncrement *schema) []field {
	return []field{
		{"resourceClass", resourceClass},
		{"env", &schema{kind: object, others: &schema{nullable: true}}},
		{"node", versions()},
		{"corepack", booleans()},
		{"pnpm", versions()},
		{"bun", versions()},
		{"yarn", versions()},
		{"expoCli", versions()},
		{"credentialsSource", enum("local", "remote")},
		{"distribution", enum("store", "internal")},
		{"releaseChannel", &schema{pattern: channelPattern}},
		{"channel", &schema{pattern: channelPattern}},
		{"developmentClient", booleans()},
		{"prebuildCommand", texts()},
		{"autoIncrement", autoIncrement},
		{"buildArtifactPaths", lists()},
		{"uploadSourceMaps", booleans()},
		{"cache", cacheSchema()},
		{"config", texts()},
		{"withoutCredentials", booleans()},
		{"environment", &schema{min: 3, max: 100, pattern: environmentPattern, messages: map[string]string{
			codeMin:     "Environment name must be at least 3 characters.",
			codeMax:     "Environment name must not be longer than 100 characters.",
			codePattern: "Environment name can only contain lowercase letters, numbers, dashes and underscores.",
		}}},
	}
}

func cacheSchema() *schema {
	return &schema{
		kind: object,
		fields: []field{
			{"disabled", booleans()},
			{"key", &schema{max: 128}},
			{"cacheDefaultPaths", booleans()},
			{"customPaths", lists()},
			{"paths", lists()},
		},
		rename: [2]string{"customPaths", "paths"},
		messages: map[string]string{
			codeRename: `Cannot provide both "cache.customPaths" and "cache.paths" - use "cache.paths"`,
		},
	}
}

func platformProfile(common, special []field) *schema {
	fields := slices.Concat(common, []field{
		{"image", texts()},
		{"artifactPath", texts()},
		{"applicationArchivePath", texts()},
	}, special)
	return &schema{kind: object, fields: fields, either: [2]string{"artifactPath", "applicationArchivePath"}}
}

func androidProfile() *schema {
	keystore := texts()
	keystore.only = &condition{sibling: "credentialsSource", value: "remote"}
	keystore.messages = map[string]string{codeForbidden: "keystoreName is not allowed when credentialsSource is not remote"}
	return platformProfile(
		commonFields(enum("default", "medium", "large"), increments("version", "versionCode")),
		[]field{
			{"ndk", versions()},
			{"gradleCommand", texts()},
			{"buildType", enum("apk", "app-bundle")},
			{"keystoreName", keystore},
		})
}

func iosProfile() *schema {
	return platformProfile(
		commonFields(enum("default", "medium", "large", "m1-medium", "m-medium", "m-large"), increments("version", "buildNumber")),
		[]field{
			{"bundler", versions()},
			{"fastlane", versions()},
			{"cocoapods", versions()},
			{"enterpriseProvisioning", enum("adhoc", "universal")},
			{"simulator", booleans()},
			{"scheme", texts()},
			{"buildConfiguration", texts()},
		})
}

func submitProfile() *schema {
	return &schema{kind: object, fields: []field{
		{"extends", texts()},
		{"android", &schema{kind: object, fields: []field{
			{"serviceAccountKeyPath", texts()},
			{"track", texts()},
			{"releaseStatus", enum("completed", "draft", "halted", "inProgress")},
			{"changesNotSentForReview", booleans()},
			{"applicationId", texts()},
			{"rollout", &schema{kind: number01, only: &condition{sibling: "releaseStatus", value: "inProgress", required: true}}},
		}}},
		{"ios", &schema{kind: object, fields: []field{
			{"ascApiKeyPath", texts()},
			{"ascApiKeyId", texts()},
			{"ascApiKeyIssuerId", texts()},
			{"appleId", texts()},
			{"ascAppId", texts()},
			{"appleTeamId", texts()},
			{"sku", texts()},
			{"language", texts()},
			{"companyName", texts()},
			{"appName", texts()},
			{"bundleIdentifier", texts()},
			{"metadataPath", texts()},
			{"groups", lists()},
		}}},
	}}
}
