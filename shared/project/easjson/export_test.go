package easjson

// SchemaKeys returns every key of the schema by section, platform keys once.
func SchemaKeys() map[Section][]string {
	keys := map[Section][]string{}
	names := func(s *schema, skip map[string]bool) []string {
		var out []string
		for _, f := range s.fields {
			if !skip[f.name] {
				out = append(out, f.name)
			}
		}
		return out
	}
	child := func(s *schema, name string) *schema {
		for _, f := range s.fields {
			if f.name == name {
				return f.schema
			}
		}
		return &schema{}
	}
	set := func(lists ...[]string) map[string]bool {
		s := map[string]bool{}
		for _, l := range lists {
			for _, n := range l {
				s[n] = true
			}
		}
		return s
	}
	top := root()
	profile, submit := child(top, "build").others, child(top, "submit").others
	keys[Top], keys[InCli] = names(top, nil), names(child(top, "cli"), nil)
	keys[AnyProfile], keys[InCache] = names(profile, nil), names(child(profile, "cache"), nil)
	common := set(keys[AnyProfile])
	android, ios := names(child(profile, Android), common), names(child(profile, IOS), common)
	for _, n := range android {
		if set(ios)[n] {
			keys[AnyPlatform] = append(keys[AnyPlatform], n)
		}
	}
	keys[OnlyAndroid] = names(child(profile, Android), set(keys[AnyProfile], ios))
	keys[OnlyIOS] = names(child(profile, IOS), set(keys[AnyProfile], android))
	keys[Submit] = names(submit, nil)
	keys[SubmitAndroid], keys[SubmitIOS] = names(child(submit, Android), nil), names(child(submit, IOS), nil)
	return keys
}
