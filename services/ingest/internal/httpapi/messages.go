package httpapi

// Messages of API v1. Scripts compare them, so they must not change.
const (
	MsgNoKey          = "Missing X-API-Key header"
	MsgWrongKey       = "Invalid API key"
	MsgNoKeyOrToken   = "Missing X-API-Key or X-Build-Token header"
	MsgWrongToken     = "Invalid or expired build token"
	MsgMultipart      = "Content must be multipart/form-data"
	MsgSource         = "Source file required"
	MsgPlatform       = "Valid platform required (ios|android)"
	MsgSourceLarge    = "Source file too large"
	MsgCertsLarge     = "Certs file too large"
	MsgNotCompleted   = "Build not completed"
	MsgNotFound       = "Build not found"
	MsgCancelled      = "Build cancelled by user"
	MsgUnavailable    = "The service is not available right now; try again in a few seconds"
	MsgInternal       = "Internal server error"
	MsgFormCut        = "The upload ended early or is not a valid form"
	MsgFormStalled    = "The upload stalled: no byte came for a minute"
	MsgNoWorker       = "Missing X-Worker-Id header"
	MsgNoBuildHeader  = "Missing X-Build-Id header"
	MsgOtherBuild     = "X-Build-Id header does not match build ID in URL"
	MsgNotHolder      = "Worker not authorized for this build"
	MsgNotAssigned    = "Worker not assigned to this build"
	MsgNotThisWorkers = "Build not assigned to this worker"
	MsgRegister       = "Name and capabilities required"
	MsgWorkerID       = "worker_id required"
	MsgUploadIDs      = "build_id and worker_id required"
	MsgResultLarge    = "Result file too large"
	MsgLogBody        = "Invalid body. Expected {level, message} or {logs: [...]}"
	MsgLogLevel       = "Invalid log level. Must be one of: info, warn, error"
	MsgProfileLarge   = "Profile file too large"
	MsgNoCertsHere    = "Certs not found"
)

// Machine-readable codes of API v2 that no sentinel of shared/build has.
const (
	CodeNoKey         = "missing_credentials"
	CodeWrongKey      = "wrong_credentials"
	CodeScope         = "insufficient_scope"
	CodeNotCompleted  = "build_not_completed"
	CodeStalled       = "transfer_stalled"
	codeTooMany       = "too_many_followers"
	codeUnprocessable = "unprocessable"
)
