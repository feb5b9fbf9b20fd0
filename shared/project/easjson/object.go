package easjson

import (
	"slices"

	"github.com/expo-free-agent/freeagent/shared/project/jsonfile"
)

// checkObject checks the known keys in the order of the schema, then the others in the order of the
// file, then rules between keys.
func (s *schema) checkObject(path []segment, v jsonfile.Value) result {
	if v.Kind != jsonfile.Object {
		return result{value: v, reports: []report{s.report(path, codeBase, "must be of type object")}}
	}
	out := result{value: jsonfile.Value{Kind: jsonfile.Object, Offset: v.Offset, Members: v.Ordered()}}
	out.value.Members = slices.DeleteFunc(out.value.Members, func(m jsonfile.Member) bool { return m.Key == "__proto__" })
	out.reports = s.renameKey(path, &out.value)
	known := map[string]bool{}
	for _, f := range s.fields {
		known[f.name] = true
		out.reports = append(out.reports, f.check(path, &out.value)...)
	}
	var unknown []report
	for i, m := range slices.Clone(out.value.Members) {
		if known[m.Key] {
			continue
		}
		at := append(slices.Clone(path), segment{key: m.Key})
		if s.others == nil || m.Key == "" {
			unknown = append(unknown, report{path: at, code: "object.unknown", message: `"` + label(at) + `" is not allowed`})
			continue
		}
		r := s.others.check(at, m.Value, nil)
		if r.absent {
			r.value = jsonfile.Value{Kind: jsonfile.Null} // unset, which overrides what is inherited
		}
		out.value.Members[i].Value = r.value
		out.reports = append(out.reports, r.reports...)
	}
	out.reports = append(out.reports, unknown...)
	out.reports = append(out.reports, s.checkEither(path, out.value)...)
	return out
}

// renameKey moves the value of an old key to its present name.
func (s *schema) renameKey(path []segment, v *jsonfile.Value) []report {
	from, to := s.rename[0], s.rename[1]
	old, ok := v.Get(from)
	if from == "" || !ok {
		return nil
	}
	var reports []report
	if _, taken := v.Get(to); taken {
		reports = append(reports, s.report(path, codeRename, "cannot rename %q because %q exists", from, to))
	}
	v.Members = slices.DeleteFunc(v.Members, func(m jsonfile.Member) bool { return m.Key == from || m.Key == to })
	v.Members = append(v.Members, jsonfile.Member{Key: to, Value: old})
	return reports
}

// check validates the field of an object and stores the converted value there.
func (f field) check(path []segment, parent *jsonfile.Value) []report {
	at := append(slices.Clone(path), segment{key: f.name})
	i := slices.IndexFunc(parent.Members, func(m jsonfile.Member) bool { return m.Key == f.name })
	if i < 0 {
		if c := f.schema.only; c != nil && c.required && c.holds(parent) {
			return []report{f.schema.report(at, "any.required", "is required")}
		}
		return nil
	}
	r := f.schema.check(at, parent.Members[i].Value, parent)
	switch {
	case !r.absent:
		parent.Members[i].Value = r.value
	case len(r.reports) == 0:
		parent.Members = slices.Delete(parent.Members, i, i+1)
	}
	return r.reports
}

func (s *schema) checkEither(path []segment, v jsonfile.Value) []report {
	if s.either[0] == "" {
		return nil
	}
	for _, key := range s.either {
		if _, ok := v.Get(key); !ok {
			return nil
		}
	}
	return []report{s.report(path, "object.oxor", "contains a conflict between optional exclusive peers [%s, %s]", s.either[0], s.either[1])}
}
