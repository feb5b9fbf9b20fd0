package openapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

// Parts of an OpenAPI document.
type (
	schemaDoc struct {
		Ref         string               `json:"$ref"`
		Type        any                  `json:"type"`
		Format      string               `json:"format"`
		Description string               `json:"description"`
		Enum        []any                `json:"enum"`
		Default     any                  `json:"default"`
		Items       *schemaDoc           `json:"items"`
		Properties  map[string]schemaDoc `json:"properties"`
		Required    []string             `json:"required"`
		More        *schemaDoc           `json:"additionalProperties"`
	}
	paramDoc struct {
		Name, In, Description string
		Required              bool
		Schema                schemaDoc
	}
	contentDoc map[string]struct{ Schema schemaDoc }
	callDoc    struct {
		OperationID, Summary, Description string
		Parameters                        []paramDoc
		RequestBody                       struct{ Content contentDoc }
		Responses                         map[string]struct {
			Description string
			Content     contentDoc
		}

		// Method and Path are those of its place in the document.
		Method, Path string `json:"-"`
	}
	apiDoc struct {
		Info       struct{ Title, Version, Description string }
		Paths      map[string]map[string]callDoc
		Components struct{ Schemas map[string]schemaDoc }
	}
)

// Page returns an HTML page of a document. It has no scripts and loads nothing from other hosts.
func Page(document []byte) ([]byte, error) {
	var doc apiDoc
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, fmt.Errorf("read the API's document: %w", err)
	}
	t, err := template.New("docs").Funcs(template.FuncMap{"type": typeOf, "fields": fieldsOf, "curl": curl, "lower": strings.ToLower}).Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("read the page's template: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{"Doc": doc, "Calls": doc.calls()})
	if err != nil {
		return nil, fmt.Errorf("make the API's page: %w", err)
	}
	return out.Bytes(), nil
}

// calls returns the operations ordered by path and method.
func (d apiDoc) calls() (all []callDoc) {
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range []string{"get", "head", "post", "put", "patch", "delete"} {
			if c, ok := d.Paths[path][method]; ok {
				c.Method, c.Path = strings.ToUpper(method), path
				all = append(all, c)
			}
		}
	}
	return all
}

// typeOf returns the display name of a schema.
func typeOf(s schemaDoc) string {
	switch {
	case s.Ref != "":
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	case s.Items != nil:
		return "list of " + typeOf(*s.Items)
	case s.More != nil:
		return "map of " + typeOf(*s.More)
	case s.Format == "binary":
		return "file"
	}
	words := []string{}
	switch t := s.Type.(type) {
	case string:
		words = append(words, t)
	case []any:
		for _, w := range t {
			if w != "null" {
				words = append(words, fmt.Sprint(w))
			}
		}
	}
	for _, e := range s.Enum {
		words = append(words, fmt.Sprintf("%q", e))
	}
	return strings.Join(words, " ")
}

type fieldDoc struct {
	Name, Type, Description string
	Required                bool
}

// fieldsOf returns the fields of an object.
func (d apiDoc) fieldsOf(s schemaDoc) (fields []fieldDoc) {
	if s.Ref != "" {
		s = d.Components.Schemas[typeOf(s)]
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		fields = append(fields, fieldDoc{Name: name, Type: typeOf(p), Description: p.Description, Required: slices.Contains(s.Required, name)})
	}
	return fields
}

func fieldsOf(d apiDoc, s schemaDoc) []fieldDoc { return d.fieldsOf(s) }

// curl returns an example command for the call.
func curl(c callDoc) string {
	line := "curl"
	switch c.Method {
	case http.MethodGet:
	case http.MethodHead:
		line += " -I"
	default:
		line += " -X " + c.Method
	}
	if strings.HasSuffix(c.Path, "/objects") {
		line += ` -H "X-Transfer-Ticket: $TICKET"`
		if c.Method == http.MethodPut || c.Method == http.MethodPatch {
			line += " --data-binary @app.zip"
		}
	} else {
		line += ` -H "X-API-Key: $FREEAGENT_API_KEY"`
	}
	for kind := range c.RequestBody.Content {
		if kind == "multipart/form-data" {
			line += " -F platform=android -F source=@app.zip"
		} else {
			line += ` -H "Content-Type: application/json" -d @body.json`
		}
	}
	return line + ` "$FREEAGENT_URL` + strings.ReplaceAll(c.Path, "{id}", "$ID") + `"`
}
