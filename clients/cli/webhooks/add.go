package webhooks

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli/internal/session"
	"github.com/expo-free-agent/freeagent/clients/cli/internal/show"
	"github.com/expo-free-agent/freeagent/shared/api"
)

type addOptions struct {
	io      session.IO
	connect session.Flags
	stdin   io.Reader

	url, format, project, description string
	secretFile, tokenFile             string
	events                            []string
	json                              bool
}

// NewAdd returns `freeagent webhooks add`.
func NewAdd(streams session.IO) *cobra.Command {
	o := &addOptions{io: streams}
	cmd := &cobra.Command{
		Use:   "add [URL]",
		Short: "Add a webhook",
		Long: `Adds a webhook that sends events to URL. With - the URL is read from standard input, since it may be a secret. With --format
github the URL is the API's: https://api.github.com (default), or https://HOST/api/v3 for an Enterprise server. The token needs
permission to write commit statuses and nothing else.

Prints the secret that signs deliveries. It is not shown again.`,
		Example: `  freeagent webhooks add https://example.com/builds --event 'build.*' --project shop
  freeagent webhooks add - --format slack < slack-url
  gh auth token | freeagent webhooks add --format github --token-file -`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				o.url = args[0]
			}
			o.stdin = cmd.InOrStdin()
			return o.run(cmd.Context())
		},
	}
	o.connect.Add(cmd.Flags())
	f := cmd.Flags()
	f.StringVar(&o.format, "format", "", "cloudevents, eas, slack or github (default: cloudevents)")
	f.StringArrayVarP(&o.events, "event", "e", nil, "event, such as build.failed or build.* (repeatable; default: events that end a build)")
	f.StringVar(&o.project, "project", "", "only builds of this project")
	f.StringVar(&o.description, "description", "", "description for people")
	f.StringVar(&o.secretFile, "secret-file", "", "file with the secret that signs deliveries, - for standard input (default: generated)")
	f.StringVar(&o.tokenFile, "token-file", "", "file with the GitHub token, - for standard input")
	f.BoolVar(&o.json, "json", false, "print the webhook with its secret as JSON")
	return cmd
}

func (o *addOptions) run(ctx context.Context) error {
	w, err := o.webhook()
	if err != nil {
		return err
	}
	client, err := o.connect.Client(o.io)
	if err != nil {
		return err
	}
	made, err := client.Webhooks.Create(ctx, w)
	if err != nil {
		return fmt.Errorf("add the webhook: %w", err)
	}
	if o.json {
		return show.JSON(o.io.Out, made)
	}
	fmt.Fprintf(o.io.Out, "Webhook %s sends %s to %s.\n", made.ID, strings.Join(made.Events, ", "), host(made.URL))
	if made.Format != github { // GitHub has no use for it
		fmt.Fprintf(o.io.Out, "Secret (not shown again): %s\n", made.Secret)
	}
	fmt.Fprintf(o.io.Out, "Try it:  freeagent webhooks test %s\n", made.ID)
	return nil
}

// github is the format that needs a token.
const github = "github"

func (o *addOptions) webhook() (w api.NewWebhook, err error) {
	fromStdin := 0
	for _, name := range []string{o.url, o.secretFile, o.tokenFile} {
		if name == "-" {
			fromStdin++
		}
	}
	switch {
	case fromStdin > 1:
		return w, session.Usage("only one of URL, --secret-file and --token-file may be - (standard input)")
	case o.url == "" && o.format != github:
		return w, session.Usage("webhooks add needs a URL (only --format github has a default)")
	case o.format == github && o.tokenFile == "":
		return w, session.Usage("--format github needs a token: --token-file FILE, or - for standard input")
	}
	if o.url == "-" {
		if o.url, err = o.read("URL", "-"); err != nil {
			return w, err
		}
	}
	if o.secretFile != "" {
		if w.Secret, err = o.readPointer("secret", o.secretFile); err != nil {
			return w, err
		}
	}
	if o.tokenFile != "" {
		if w.Token, err = o.readPointer("token", o.tokenFile); err != nil {
			return w, err
		}
	}
	w.URL, w.Format, w.Project, w.Description = given(o.url), given(o.format), given(o.project), given(o.description)
	if len(o.events) > 0 {
		w.Events = &o.events
	}
	return w, nil
}

// given is nil for what was left out.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func (o *addOptions) readPointer(what, file string) (*string, error) {
	text, err := o.read(what, file)
	return &text, err
}

// maxRead bounds what is read from a file that should hold a line.
const maxRead = 16 << 10

func (o *addOptions) read(what, file string) (string, error) {
	in := o.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", what, err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxRead))
	if err != nil {
		return "", fmt.Errorf("read the %s: %w", what, err)
	}
	text := strings.TrimSpace(string(data))
	if text == "" {
		return "", session.Usage("the %s is empty", what)
	}
	return text, nil
}
