package pipeline

import (
	"errors"
	"fmt"
	"os"

	"github.com/expo-free-agent/freeagent/shared/build"
	"github.com/expo-free-agent/freeagent/shared/project/profile"
	"github.com/expo-free-agent/freeagent/shared/project/updates"
)

// stageUpdates sets the channel of expo-updates.
const stageUpdates = "configure-updates"

// updates adds the stage that sets the profile's channel natively, for an app with expo-updates.
func (n native) updates(platform build.Platform) []Stage {
	channel := n.profile().Channel
	if channel == "" || !n.pkg.Has("expo-updates") {
		return nil
	}
	return []Stage{channelStage(platform, channel, false)}
}

// channelStage sets a channel. Strict refuses an app that does not take updates from EAS.
func channelStage(platform build.Platform, channel string, strict bool) Stage {
	return Stage{Name: stageUpdates, Run: fmt.Sprintf("set the channel %q", channel), Edit: func(app *os.Root) (string, error) {
		file, err := updates.SetChannel(app, string(platform), channel)
		switch {
		case errors.Is(err, updates.ErrNotConfigured) && !strict:
			return fmt.Sprintf("the channel %q is not set: %v", channel, err), nil
		case errors.Is(err, updates.ErrNotConfigured), errors.Is(err, updates.ErrNative):
			return "", profile.Problem(fmt.Sprintf("the channel %q of expo-updates cannot be set: %v", channel, err))
		case err != nil:
			return "", err
		}
		return fmt.Sprintf("set in %s", file), nil
	}}
}
