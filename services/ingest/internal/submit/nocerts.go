package submit

import (
	schedulerv1 "github.com/expo-free-agent/freeagent/proto-events/freeagent/scheduler/v1"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// msgNoCerts is the warning about an iOS build without certificates.
const msgNoCerts = "This build has no signing certificates. The Mac worker app (FreeAgent.app) starts a virtual machine that " +
	"never becomes ready without them, and fails the build after 3 minutes; other workers can build it. To have it built by " +
	"the app, submit it again with a certificate and a provisioning profile (freeagent submit --certs; expo-free-agent submit " +
	"--cert and --profile)."

// notesOn returns the warnings about a submit for the build's log.
func notesOn(r *schedulerv1.SubmitRequest) []string {
	if r.GetPlatform() == string(build.IOS) && r.GetCerts().GetObjectId() == "" {
		return []string{msgNoCerts}
	}
	return nil
}
