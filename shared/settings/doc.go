// Package settings reads the settings of a program: of a service, of `freeagent up` and of
// `freeagent worker` alike.
//
// # Declaring
//
// A setting is a field of a struct with tags:
//
//	MaxUpload int64 `env:"FREEAGENT_MAX_UPLOAD_MB" unit:"MB" help:"size limit of a submit in MB"`
//
// env is the variable, followed by ",required" where it has no default; help is what -h prints. Its
// flag is the variable's name (--max-upload-mb) unless the tag flag gives another. secret:"true"
// marks what a command line must not show: such a setting has a flag for a file that holds it.
// unit:"MB" makes a field of bytes a setting in megabytes. Structs in the struct hold settings too;
// one variable may set several fields.
//
// # Sources
//
// The command line overrides the environment, which overrides a file of lines NAME=value. A name
// that no program of Free Agent knows is an error. Old names of settings are accepted with a
// warning.
package settings
