// Package custom reads custom builds: the YAML files in .eas/build that the key "config" of a profile in eas.json names
// (https://docs.expo.dev/custom-builds/schema/).
//
// Load resolves the functions and imports of a file into steps, and checks everything that can be checked before the build runs: keys, calls,
// inputs, and every reference in an expression. Check names what Free Agent does not support. While the build runs, ShouldRun evaluates a
// step's condition and Render its inputs and its command.
//
// # Expressions
//
// "${ inputs.a }", "${ steps.id.output }" and "${ eas.env.NAME }" are paths; "${{ … }}" is an expression of JavaScript's operators and the
// functions that EAS has. Values are put into a text once: what they contain is not evaluated again.
package custom
