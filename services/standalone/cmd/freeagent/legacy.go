package main

import (
	"github.com/spf13/cobra"

	"github.com/expo-free-agent/freeagent/clients/cli"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyexport"
	"github.com/expo-free-agent/freeagent/services/standalone/internal/legacy/legacyimport"
)

// legacyCommands returns the commands import and export.
func (program) legacyCommands(s cli.Streams) []*cobra.Command {
	return []*cobra.Command{legacyimport.New(s), legacyexport.New(s)}
}
