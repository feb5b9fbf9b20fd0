package shell

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/expo-free-agent/freeagent/clients/worker/internal/tools"
	"github.com/expo-free-agent/freeagent/clients/worker/pipeline"
)

// Missing implements runtime.Workspace.
func (w *workspace) Missing(ctx context.Context, needs []pipeline.Need) (missing []pipeline.Need, lines []string) {
	for _, n := range needs {
		t, ok := w.executor.store.Find(ctx, needOf(n))
		if !ok {
			missing = append(missing, n)
			continue
		}
		lines = append(lines, w.use(t, n))
	}
	return missing, lines
}

// Fetch implements runtime.Workspace.
func (w *workspace) Fetch(ctx context.Context, n pipeline.Need, run func(ctx context.Context, script string) error) (line string, err error) {
	t, err := w.executor.store.Fetch(ctx, needOf(n), run)
	if err != nil {
		return "", err
	}
	return w.use(t, n), nil
}

// use puts a tool on the PATH and says so.
func (w *workspace) use(t tools.Tool, n pipeline.Need) string {
	if t.Dir != "" && !slices.Contains(w.tools, t.Dir) {
		w.tools = append(w.tools, t.Dir)
	}
	w.versions = append(w.versions, t.Name+" "+t.Version)
	asked := ""
	if n.Range != "" {
		asked = fmt.Sprintf(" (%s asks for %s)", n.From, n.Range)
	}
	return fmt.Sprintf("%s %s of %s%s", t.Name, t.Version, t.Source, asked)
}

// path returns the PATH of commands: the programs of the attempt and the tools that were found come first.
func (w *workspace) path(base string) string {
	return strings.Join(append(append([]string{w.bin()}, w.tools...), base), string(filepath.ListSeparator))
}

func needOf(n pipeline.Need) tools.Need {
	return tools.Need{Name: n.Name, Range: n.Range, From: n.From}
}
