package submit

import (
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// msgNoCerts is in the log of an iOS build that came without certs.
const msgNoCerts = "This build has no signing certificates. The Mac worker app (FreeAgent.app) starts a virtual machine that " +
	"never becomes ready without them, and fails the build after 3 minutes; other workers can build it. To have it built by " +
	"the app, submit it again with a certificate and a provisioning profile (freeagent submit --certs; expo-free-agent submit " +
	"--cert and --profile)."

// notesOn returns warnings about a submit for its build's log.
func notesOn(r *schedulerv1.SubmitRequest) []string {
	if r.GetPlatform() == string(build.IOS) && r.GetCerts().GetObjectId() == "" {
		return []string{msgNoCerts}
	}
	return nil
}
