package standalone

import "github.com/expo-free-agent/freeagent/shared/bus"

// diskShare is the part of the free disk that streams may take: the other half is for objects and databases.
const diskShare = 2

// streamStorage is how much the streams of this installation share, unless the settings say.
func (a *App) streamStorage() int64 {
	if a.cfg.Scheduler.StreamStorage > 0 {
		return a.cfg.Scheduler.StreamStorage
	}
	free, err := freeSpace(a.dir.path)
	if err != nil {
		return 0 // then the bus's own figure holds
	}
	return int64(min(free/diskShare, bus.DefaultStorage))
}
