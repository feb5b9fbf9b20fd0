package build

import "fmt"

// State is where a build is in its life. The zero value is not a state.
type State string

// The states. Completed, Failed and Cancelled are final: a build enters exactly one of them, once.
const (
	Pending   State = "pending"   // acknowledged to its submitter, not handed out
	Queued    State = "queued"    // this attempt lies in BUILD_QUEUE
	Assigned  State = "assigned"  // a worker holds the lease and has not begun
	Building  State = "building"  // the holder works
	Completed State = "completed" // final, with a durable result
	Failed    State = "failed"    // final
	Cancelled State = "cancelled" // final
)

// States lists every state in the order of a life.
func States() []State {
	return []State{Pending, Queued, Assigned, Building, Completed, Failed, Cancelled}
}

// Final says that nothing changes the build any more.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Leased says that a worker holds the current attempt.
func (s State) Leased() bool { return s == Assigned || s == Building }

// Waiting says that the build waits for a worker.
func (s State) Waiting() bool { return s == Pending || s == Queued }

// Command is what may be asked of a build. Each is one row of the transition table.
type Command string

// The commands.
const (
	Release  Command = "release"   // put the attempt onto BUILD_QUEUE
	Withdraw Command = "withdraw"  // take it back before anybody claimed it
	Claim    Command = "claim"     // a worker takes the lease
	Start    Command = "start"     // the holder begins to work
	Complete Command = "complete"  // the holder delivered a durable result
	Fail     Command = "fail"      // the build failed, not the infrastructure
	Lose     Command = "lose"      // the infrastructure lost the attempt, the next one waits
	HandBack Command = "hand_back" // the holder stops and gives the attempt back unharmed
	Exhaust  Command = "exhaust"   // the infrastructure lost the last attempt allowed
	Cancel   Command = "cancel"    // a person wants no more of it
)

// Commands lists every command.
func Commands() []Command {
	return []Command{Release, Withdraw, Claim, Start, Complete, Fail, Lose, HandBack, Exhaust, Cancel}
}

// outcome is one cell of the table: the next state, or why not.
type outcome struct {
	to  State
	err error
}

func to(s State) outcome      { return outcome{to: s} }
func refuse(e error) outcome  { return outcome{err: e} }
func stay(s State) outcome    { return outcome{to: s} }
func finished() outcome       { return refuse(ErrFinished) }
func nobodyHoldsIt() outcome  { return refuse(ErrLeaseLost) }
func alreadyTaken() outcome   { return refuse(ErrTaken) }
func nothingToTake() outcome  { return refuse(ErrNotQueued) }
func alreadyHandled() outcome { return refuse(ErrLeaseLost) }

// transitions is total: a cell for each state and command. A holder's call on a final state is a lost lease, not an error
// of the holder's making: somebody cancelled, or another attempt won.
//
//nolint:gochecknoglobals // a constant table
var transitions = map[State]map[Command]outcome{
	Pending: {
		Release: to(Queued), Withdraw: stay(Pending), Claim: nothingToTake(), Cancel: to(Cancelled),
		Start: nobodyHoldsIt(), Complete: nobodyHoldsIt(), Fail: nobodyHoldsIt(),
		// An attempt that cannot be offered is lost, too.
		Lose: stay(Pending), HandBack: nobodyHoldsIt(), Exhaust: to(Failed),
	},
	Queued: {
		Release: stay(Queued), Withdraw: to(Pending), Claim: to(Assigned), Cancel: to(Cancelled),
		Start: nobodyHoldsIt(), Complete: nobodyHoldsIt(), Fail: nobodyHoldsIt(),
		// An attempt that nobody can claim is lost, too.
		Lose: to(Pending), HandBack: nobodyHoldsIt(), Exhaust: to(Failed),
	},
	Assigned: {
		Release: alreadyTaken(), Withdraw: alreadyTaken(), Claim: alreadyTaken(), Cancel: to(Cancelled),
		// A v1 worker reports only the end, so an assigned build may finish without having started.
		Start: to(Building), Complete: to(Completed), Fail: to(Failed),
		Lose: to(Pending), HandBack: to(Pending), Exhaust: to(Failed),
	},
	Building: {
		Release: alreadyTaken(), Withdraw: alreadyTaken(), Claim: alreadyTaken(), Cancel: to(Cancelled),
		Start: stay(Building), Complete: to(Completed), Fail: to(Failed),
		Lose: to(Pending), HandBack: to(Pending), Exhaust: to(Failed),
	},
	Completed: final(),
	Failed:    final(),
	Cancelled: final(),
}

func final() map[Command]outcome {
	return map[Command]outcome{
		Release: finished(), Withdraw: finished(), Claim: finished(), Cancel: finished(),
		Start: alreadyHandled(), Complete: alreadyHandled(), Fail: alreadyHandled(),
		Lose: alreadyHandled(), HandBack: alreadyHandled(), Exhaust: alreadyHandled(),
	}
}

// Next returns the state that a command leads to. A refusal wraps ErrFinished, ErrTaken, ErrNotQueued or ErrLeaseLost;
// ErrInvalid is a state or command that does not exist.
func Next(s State, c Command) (State, error) {
	o, ok := transitions[s][c]
	if !ok {
		return "", fmt.Errorf("%w: %q in state %q", ErrInvalid, c, s)
	}
	if o.err != nil {
		return "", fmt.Errorf("%s a build that is %s: %w", c, s, o.err)
	}
	return o.to, nil
}
