package runtime

// Stepper is a Workspace that runs the steps of custom builds.
type Stepper interface {
	// Variables returns all that a command with these variables gets, which are Env and StageEnv of a Command.
	Variables(env, stage map[string]string) (map[string]string, error)
	// TakeOutputs returns what commands have set with the program set-output since the last call.
	TakeOutputs() (map[string]string, error)
}
