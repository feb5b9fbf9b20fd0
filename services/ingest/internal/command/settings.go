package command

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/expo-free-agent/freeagent/services/ingest"
	"github.com/expo-free-agent/freeagent/shared/build"
	loglimit "github.com/expo-free-agent/freeagent/shared/buildlog/limit"
	"github.com/expo-free-agent/freeagent/shared/daemon"
	"github.com/expo-free-agent/freeagent/shared/tlsfiles"
)

// settings are the environment's variables.
type settings struct {
	Listen string `env:"FREEAGENT_INGEST_LISTEN" help:"address to listen on"`
	Cert   string `env:"FREEAGENT_INGEST_CERT_FILE" help:"certificate to listen with (TLS)"`
	Key    string `env:"FREEAGENT_INGEST_KEY_FILE" help:"its key"`
	Health string `env:"FREEAGENT_INGEST_HEALTH_LISTEN" help:"second address, without TLS, for probes of /livez and /readyz, which says the reason there (empty: none)"`
	APIKey string `env:"FREEAGENT_API_KEY,required,notEmpty" secret:"true" help:"the admin API key: at least 16 of A-Z a-z 0-9 _ -"`
	daemon.Connections
	daemon.Stopping

	BusURL  string `env:"FREEAGENT_WORKER_BUS_URL,required,notEmpty" help:"the bus as workers reach it"`
	Issuer  string `env:"FREEAGENT_BUS_ISSUER_FILE,required,notEmpty" help:"seed of the account key with which workers' credentials are signed (auth callout)"`
	Account string `env:"FREEAGENT_BUS_ACCOUNT" help:"account that workers are placed into"`
	XKey    string `env:"FREEAGENT_BUS_XKEY_FILE" help:"seed of the curve key that seals the auth callout (empty: not sealed)"`

	ArtifactURL string `env:"FREEAGENT_ARTIFACT_URL,required,notEmpty" help:"the artifact service, such as http://artifact:3002"`
	ArtifactCA  string `env:"FREEAGENT_ARTIFACT_CA_FILE" help:"certificates that its is checked against, instead of the system's"`
	TokenKey    string `env:"FREEAGENT_TOKEN_KEY_FILE,required,notEmpty" help:"file with the key that makes build tokens: 32 bytes or more"`

	MaxUploadMB  int64                         `env:"FREEAGENT_MAX_UPLOAD_MB" help:"largest submit"`
	MaxResultMB  int64                         `env:"FREEAGENT_MAX_RESULT_UPLOAD_MB" help:"largest upload of a worker of API v1"`
	MaxCerts     int                           `env:"FREEAGENT_MAX_CERTS_AT_ONCE" help:"submits whose certs (10 MB at most) are held in memory at once; others wait"`
	RepeatWindow time.Duration                 `env:"FREEAGENT_REPEAT_WINDOW" help:"how long a submit of API v1 whose answer could not be written waits for its repeat; then it is rolled back"`
	StatsOrigins []string                      `env:"FREEAGENT_STATS_ORIGINS" help:"web pages (scheme://host) whose scripts may read the public figures; * is any"`
	BaseImage    string                        `env:"FREEAGENT_BASE_IMAGE" help:"VM image that workers of API v1 are told to build in"`
	LogLimitMB   int64                         `env:"FREEAGENT_LOG_LIMIT_MB" help:"largest log of a build of a worker of API v1; what follows is left out (our own worker has flags of these names)"`
	LogLines     int64                         `env:"FREEAGENT_LOG_LIMIT_LINES" help:"most lines of the log of a build of a worker of API v1"`
	StageTTLs    map[build.Stage]time.Duration `env:"FREEAGENT_STAGE_TTLS" envKeyValSeparator:"=" help:"silence forgiven by stage, such as install=5m,pods=10m, as the scheduler has it; stages not named keep theirs"`
	MaxFollowers int                           `env:"FREEAGENT_MAX_FOLLOWERS" help:"logs followed at once"`
	SessionTTL   time.Duration                 `env:"FREEAGENT_SESSION_TTL" help:"how long somebody who logs in to the pages stays so"`
	MaxSamples   int                           `env:"FREEAGENT_MAX_SAMPLES" help:"samples of telemetry that wait for the bus; more are left out"`
	PublicURL    string                        `env:"FREEAGENT_PUBLIC_URL" help:"where people reach the gateway, for links in webhooks"`
	HookNets     []netip.Prefix                `env:"FREEAGENT_WEBHOOK_NETWORKS" help:"networks of our own that webhooks may be sent to besides the public internet, such as 10.0.0.0/8,127.0.0.1/32"`
	HookTimeout  time.Duration                 `env:"FREEAGENT_WEBHOOK_TIMEOUT" help:"for one try at a webhook"`
	HookAttempts int                           `env:"FREEAGENT_WEBHOOK_ATTEMPTS" help:"tries after which a delivery to a webhook is dead"`
	HookFirst    time.Duration                 `env:"FREEAGENT_WEBHOOK_PAUSE" help:"pause before the second try at a webhook; it doubles with each further one"`
	HookPause    time.Duration                 `env:"FREEAGENT_WEBHOOK_MAX_PAUSE" help:"longest pause between two tries at a webhook"`
	HookDisable  time.Duration                 `env:"FREEAGENT_WEBHOOK_DISABLE_AFTER" help:"a webhook of which no delivery has succeeded for so long is disabled"`
	WorkerTTL    time.Duration                 `env:"FREEAGENT_WORKER_TTL" help:"how long a worker's bus connection lasts before it is judged again"`
}

// about is the top of the help.
const about = `Runs one replica of the gateway until SIGTERM: the only door for people, scripts and workers that come over HTTP.

Key files hold the bytes themselves, or their hexadecimal or base64 form (head -c 32 /dev/urandom | base64). All replicas
need the same keys.`

func defaults() settings {
	c := ingest.DefaultConfig()
	return settings{
		Listen: "127.0.0.1:3000", Account: "$G", MaxUploadMB: c.MaxUploadBytes >> 20,
		MaxCerts: c.MaxCertsAtOnce, RepeatWindow: c.RepeatWindow, StatsOrigins: c.StatsOrigins,
		MaxResultMB: c.MaxResultBytes >> 20, BaseImage: c.BaseImage, MaxFollowers: c.MaxFollowers, WorkerTTL: c.WorkerTTL, SessionTTL: c.SessionTTL,
		LogLimitMB: c.LogLimit.Bytes >> 20, LogLines: c.LogLimit.Lines,
		MaxSamples: c.MaxSamples, HookTimeout: c.WebhookTimeout, HookAttempts: c.WebhookAttempts, HookFirst: c.WebhookPause, HookPause: c.WebhookMaxPause,
		HookDisable: c.WebhookDisableAfter,
	}
}

func (s settings) config() (ingest.Config, error) {
	cfg := ingest.DefaultConfig()
	cfg.BootstrapKey, cfg.MaxUploadBytes = s.APIKey, s.MaxUploadMB<<20
	cfg.MaxCertsAtOnce, cfg.RepeatWindow, cfg.StatsOrigins = s.MaxCerts, s.RepeatWindow, s.StatsOrigins
	cfg.MaxResultBytes, cfg.BaseImage = s.MaxResultMB<<20, s.BaseImage
	cfg.LogLimit = loglimit.Limit{Lines: s.LogLines, Bytes: s.LogLimitMB << 20}
	cfg.MaxFollowers, cfg.WorkerTTL, cfg.MaxSamples = s.MaxFollowers, s.WorkerTTL, s.MaxSamples
	cfg.PublicURL, cfg.WebhookNetworks, cfg.WebhookTimeout = s.PublicURL, s.HookNets, s.HookTimeout
	cfg.WebhookAttempts, cfg.WebhookPause, cfg.WebhookMaxPause = s.HookAttempts, s.HookFirst, s.HookPause
	cfg.WebhookDisableAfter = s.HookDisable
	cfg.SessionTTL = s.SessionTTL
	maps.Copy(cfg.StageTTLs, s.StageTTLs)
	if s.TokenKey == "" {
		return cfg, nil // that it is required has been said
	}
	key, err := daemon.ReadKey(s.TokenKey)
	if err != nil {
		return cfg, fmt.Errorf("FREEAGENT_TOKEN_KEY_FILE: %w", err)
	}
	cfg.TokenKey = key
	return cfg, cfg.Validate()
}

// check names every fault that shows without connecting.
func (s settings) check() error {
	_, err1 := s.config()
	_, err2 := s.deps()
	_, err3 := tlsfiles.Server(s.Cert, s.Key)
	return errors.Join(err1, err2, err3, s.Connections.Check(), s.Stopping.Check())
}

// deps are what needs no connection. The HTTP client has no time limit on the whole: transfers take as long as bytes move.
func (s settings) deps() (ingest.Deps, error) {
	transport, err := tlsfiles.Transport(&http.Transport{
		MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true, ResponseHeaderTimeout: 2 * time.Minute,
		TLSHandshakeTimeout: 10 * time.Second, ExpectContinueTimeout: time.Second,
	}, s.ArtifactCA)
	if err != nil {
		err = fmt.Errorf("FREEAGENT_ARTIFACT_CA_FILE: %w", err)
	}
	d := ingest.Deps{
		ArtifactURL: s.ArtifactURL, Account: s.Account, ArtifactClient: &http.Client{Transport: transport},
		BusURL: func(*http.Request) string { return s.BusURL },
	}
	var err1, err2 error
	if s.Issuer != "" {
		d.Issuer, err1 = readSeed("FREEAGENT_BUS_ISSUER_FILE", s.Issuer, nkeys.FromSeed)
	}
	if s.XKey != "" {
		d.XKey, err2 = readSeed("FREEAGENT_BUS_XKEY_FILE", s.XKey, nkeys.FromCurveSeed)
	}
	return d, errors.Join(err, err1, err2)
}

func readSeed(name, path string, parse func([]byte) (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	data, err := daemon.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	key, err := parse([]byte(strings.TrimSpace(string(data))))
	if err != nil {
		return nil, fmt.Errorf("%s: %s holds no such seed: %w", name, path, err)
	}
	return key, nil
}
