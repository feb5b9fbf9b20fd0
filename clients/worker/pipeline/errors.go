package pipeline

import "github.com/expo-free-agent/freeagent/shared/project/profile"

// ErrProject says that the project cannot be built as it is; the text says what is missing or wrong, for the project's owner.
var ErrProject = profile.ErrProject
