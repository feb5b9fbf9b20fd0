package webhooks

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type testOptions struct {
	io      session.IO
	connect session.Flags
	id      string
	wait    time.Duration
	json    bool
}

// NewTest returns `freeagent webhooks test`.
func NewTest(streams session.IO) *cobra.Command {
	o := &testOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "test WEBHOOK",
		Short: "Send a test event and show the receiver's answer",
		Long: `Sends the event "ping" and waits for the first answer. On GitHub this only verifies the token and writes nothing.
The exit code is 1 if the receiver did not accept it.`,
		Example: `  freeagent webhooks test 7rqd2c`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.id = args[0]
			return o.run(cmd.Context())
		},
	}
	o.connect.Add(cmd.Flags())
	cmd.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "timeout for the answer")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the delivery as JSON")
	return cmd
}

func (o *testOptions) run(ctx context.Context) error {
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	d, err := client.Webhooks.Test(ctx, o.id)
	if err == nil {
		d, err = o.answered(ctx, client, d)
	}
	if err != nil {
		return about(o.id, err)
	}
	if o.json {
		if err := show.JSON(o.io.Out, d); err != nil {
			return err
		}
	}
	return o.say(d)
}

// lookEvery paces the looking for an answer.
const lookEvery = 200 * time.Millisecond

// answered waits until the delivery was tried once.
func (o *testOptions) answered(ctx context.Context, client *api.Client, d api.Delivery) (api.Delivery, error) {
	deadline := time.After(o.wait)
	for {
		now, err := client.Webhooks.GetDelivery(ctx, o.id, d.ID)
		if err != nil || len(now.Log) > 0 {
			return now, err
		}
		select {
		case <-ctx.Done():
			return now, &session.ExitError{Code: session.ExitInterrupted}
		case <-deadline:
			return now, nil
		case <-time.After(lookEvery):
		}
	}
}

func (o *testOptions) say(d api.Delivery) error {
	if len(d.Log) == 0 {
		return fmt.Errorf("no answer within %s. See: freeagent webhooks deliveries %s %s", o.wait, o.id, d.ID)
	}
	if last := d.Log[len(d.Log)-1]; last.Error != "" {
		return fmt.Errorf("the receiver did not accept the test event: %s", show.Safe(last.Error))
	} else if !o.json {
		fmt.Fprintf(o.io.Out, "The receiver answered %d after %d ms.\n", last.Status, last.TookMs)
	}
	return nil
}
