package secrets

// The files of a directory. Their names are also the keys of a Kubernetes Secret made of it.
const (
	// APIKey is the administrator's.
	APIKey = "api-key"
	// TokenKey makes the tokens of builds, TicketKey signs transfers, MasterKey wraps the keys of stored certificates.
	TokenKey  = "token-key"
	TicketKey = "ticket-key"
	MasterKey = "master-key"
	// BusIssuer signs workers' credentials on the bus, BusXKey seals the bus's questions about them: seeds.
	BusIssuer = "bus-issuer"
	BusXKey   = "bus-xkey"
	// BusPassword is that of the services' user on the bus, BusRoutes that of the nodes among themselves, BusSystem that of
	// the system account, for operators.
	BusPassword = "bus-password"
	BusRoutes   = "bus-routes-password"
	BusSystem   = "bus-system-password"
	// BusConfig is what deployments/nats/nats.conf includes.
	BusConfig = "bus-secrets.conf"
	// DatabasePassword is in DatabaseURL.
	DatabasePassword = "database-password"
	DatabaseURL      = "database-url"
	// S3AccessKey and S3SecretKey are the object store's.
	S3AccessKey = "s3-access-key"
	S3SecretKey = "s3-secret-key"
)

// BusUser is the services' user on the bus, BusAccount the account that they and the workers are in.
const (
	BusUser    = "services"
	BusAccount = "FA"
)
