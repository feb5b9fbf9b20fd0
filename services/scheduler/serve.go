package scheduler

import (
	"errors"

	"github.com/expo-free-agent/freeagent/shared/rpc"
)

// serve answers every request that the scheduler knows: one screen.
func (s *Scheduler) serve(svc *rpc.Service) error {
	return errors.Join(
		rpc.Handle(svc, "submit", s.Submit),
		rpc.Handle(svc, "get", s.getRetained),
		rpc.Handle(svc, "list", s.List),
		rpc.Handle(svc, "summary", s.summaryWithNotice),
		rpc.Handle(svc, "cancel", s.Cancel),
		rpc.Handle(svc, "check_lease", s.CheckLease),
		rpc.Handle(svc, "register_worker", s.RegisterWorker),
		rpc.Handle(svc, "withdraw_worker", s.WithdrawWorker),
		rpc.Handle(svc, "get_worker", s.getWorkerRetained),
		rpc.Handle(svc, "list_workers", s.ListWorkers),
		rpc.Handle(svc, "stats", s.statsRetained),
		rpc.Handle(svc, "poll", s.Poll),
		rpc.Handle(svc, "set_timeouts", s.SetTimeouts),
		rpc.Handle(svc, "get_timeouts", s.GetTimeouts),
		rpc.Handle(svc, "set_project_rule", s.SetProjectRule),
		rpc.Handle(svc, "set_pool_rule", s.SetPoolRule),
		rpc.Handle(svc, "list_rules", s.ListRules),
		rpc.Handle(svc, "import_builds", s.ImportBuilds),
		rpc.Handle(svc, "import_workers", s.ImportWorkers),
		rpc.Handle(svc, "export_builds", s.ExportBuilds),
		rpc.Handle(svc, "export_workers", s.ExportWorkers),
		rpc.Handle(svc, "get_retention", s.GetRetention),
		rpc.Handle(svc, "set_retention", s.SetRetention),
		rpc.Handle(svc, "plan_retention", s.PlanRetention),
		rpc.Handle(svc, "pin_build", s.PinBuild),

		rpc.HandleWorker(svc, "sync", s.Sync),
		rpc.HandleWorker(svc, "claim", bounded(s, "claim", s.Claim)),
		rpc.HandleWorker(svc, "stage", bounded(s, "stage", s.Stage)),
		rpc.HandleWorker(svc, "finish", bounded(s, "outcome", s.Finish)),
	)
}
