// Package rules has what administrators set for projects and pools at run time: weights, limits of
// running builds, priorities (SetProjectRule, SetPoolRule) and timeouts (SetTimeouts).
//
// They are kept in memory, since every dispatch, claim and stage reads them. A change applies at
// once in the replica that was asked, and within two seconds in the others. Limits of running
// builds are checked again in the transaction that releases a build, under a lock of the rule, so
// they hold whatever a replica remembers.
package rules
