// Package retention decides which ended builds the farm keeps, and removes the others.
//
// # Policies
//
// A [Policy] limits the age, the number and the bytes of a project's ended builds. The farm's
// policy holds for every project without one of its own. A change takes effect after Config.Notice,
// so that people can object; until then nothing of the projects that it concerns expires. A farm
// without policies keeps everything.
//
// These never expire: builds that have not ended, pinned builds, what ended less than Config.MinAge
// ago, and, where the policy says so, the last successful build of each branch, platform and
// profile.
//
// # Life of a build that expires
//
//	ended --[Store.Expire]--> trace, not cleaned --> trace, cleaned --[after Config.Trace]--> gone
//
// One transaction replaces the build's rows by a trace (table expired_builds). From then on users
// see the trace and nothing else, so nobody meets a build whose bytes are half deleted. The other
// services then delete what they hold of the build; each request may be repeated. The next sweep of
// any scheduler continues with traces that are not cleaned, so a crash between any two steps costs
// only time.
//
// One scheduler sweeps at a time. It holds a lease in table retention_state. Should two sweep all
// the same, the second one repeats what the first one did, and nothing happens twice.
package retention
