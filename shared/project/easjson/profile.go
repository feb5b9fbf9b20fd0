package easjson

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// Values of keys.
const (
	CredentialsLocal     = "local"
	CredentialsRemote    = "remote"
	DistributionInternal = "internal"
	DistributionStore    = "store"
	BuildTypeAPK         = "apk"
	BuildTypeAppBundle   = "app-bundle"
)

// Environments that every project has on EAS.
const (
	EnvironmentDevelopment = "development"
	EnvironmentPreview     = "preview"
	EnvironmentProduction  = "production"
)

// Profile is a build profile resolved for one platform. Keys of the other platform are empty. Text
// in eas.json is never empty, so "" means that the profile does not have the key. Its JSON is what
// `eas config --json` prints as buildProfile, keys sorted.
type Profile struct {
	ApplicationArchivePath string            `json:"applicationArchivePath,omitempty"`
	ArtifactPath           string            `json:"artifactPath,omitempty"`
	AutoIncrement          AutoIncrement     `json:"autoIncrement,omitzero"`
	BuildArtifactPaths     []string          `json:"buildArtifactPaths,omitzero"`
	BuildConfiguration     string            `json:"buildConfiguration,omitempty"`
	BuildType              string            `json:"buildType,omitempty"`
	Bun                    string            `json:"bun,omitempty"`
	Bundler                string            `json:"bundler,omitempty"`
	Cache                  *Cache            `json:"cache,omitempty"`
	Channel                string            `json:"channel,omitempty"`
	Cocoapods              string            `json:"cocoapods,omitempty"`
	Config                 string            `json:"config,omitempty"`
	Corepack               *bool             `json:"corepack,omitempty"`
	CredentialsSource      string            `json:"credentialsSource,omitempty"`
	DevelopmentClient      *bool             `json:"developmentClient,omitempty"`
	Distribution           string            `json:"distribution,omitempty"`
	EnterpriseProvisioning string            `json:"enterpriseProvisioning,omitempty"`
	Env                    map[string]string `json:"env,omitzero"`
	Environment            string            `json:"environment,omitempty"`
	ExpoCli                string            `json:"expoCli,omitempty"`
	Fastlane               string            `json:"fastlane,omitempty"`
	GradleCommand          string            `json:"gradleCommand,omitempty"`
	Image                  string            `json:"image,omitempty"`
	KeystoreName           string            `json:"keystoreName,omitempty"`
	Ndk                    string            `json:"ndk,omitempty"`
	Node                   string            `json:"node,omitempty"`
	Pnpm                   string            `json:"pnpm,omitempty"`
	PrebuildCommand        string            `json:"prebuildCommand,omitempty"`
	ReleaseChannel         string            `json:"releaseChannel,omitempty"`
	ResourceClass          string            `json:"resourceClass,omitempty"`
	Scheme                 string            `json:"scheme,omitempty"`
	Simulator              *bool             `json:"simulator,omitempty"`
	UploadSourceMaps       *bool             `json:"uploadSourceMaps,omitempty"`
	WithoutCredentials     *bool             `json:"withoutCredentials,omitempty"`
	Yarn                   string            `json:"yarn,omitempty"`
	// Keys are the keys that the file sets, sorted; those of cache as "cache.paths". Defaults are not
	// among them.
	Keys []string `json:"-"`
}

// BuildEnvironment returns the environment whose variables a build of the profile gets: the key environment or, without it, what eas-cli
// chooses: production for store distribution, else development with developmentClient, else preview.
func (p Profile) BuildEnvironment() string {
	switch {
	case p.Environment != "":
		return p.Environment
	case p.Distribution == DistributionStore:
		return EnvironmentProduction
	case p.DevelopmentClient != nil && *p.DevelopmentClient:
		return EnvironmentDevelopment
	}
	return EnvironmentPreview
}

// Cache is the block "cache" of a profile.
type Cache struct {
	CacheDefaultPaths *bool    `json:"cacheDefaultPaths,omitempty"`
	Disabled          *bool    `json:"disabled,omitempty"`
	Key               string   `json:"key,omitempty"`
	Paths             []string `json:"paths,omitzero"`
}

// AutoIncrement is the key "autoIncrement". The zero value means that the profile does not have it.
type AutoIncrement struct {
	// Set reports that the profile has the key.
	Set bool
	// Enabled is false only for the value false.
	Enabled bool
	// Field is "version", "versionCode" or "buildNumber", or "" for the value true.
	Field string
}

// MarshalJSON writes a boolean or the field's name.
func (a AutoIncrement) MarshalJSON() ([]byte, error) {
	if a.Field != "" {
		return json.Marshal(a.Field)
	}
	return json.Marshal(a.Enabled)
}

// UnmarshalJSON reads a boolean or a field's name.
func (a *AutoIncrement) UnmarshalJSON(data []byte) error {
	*a = AutoIncrement{Set: true, Enabled: true}
	if json.Unmarshal(data, &a.Enabled) == nil {
		return nil
	}
	if err := json.Unmarshal(data, &a.Field); err != nil {
		return fmt.Errorf("autoIncrement: %w", err)
	}
	return nil
}

// Archive returns the path or glob of the app to deliver, under its present or its old name; "" if the profile has neither.
func (p Profile) Archive() string { return cmp.Or(p.ApplicationArchivePath, p.ArtifactPath) }
