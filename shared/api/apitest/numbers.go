package apitest

import (
	"encoding/json"
	"net/http"

	"github.com/expo-free-agent/freeagent/shared/api"
	"github.com/expo-free-agent/freeagent/shared/build"
)

// numbers are the counters of build numbers, by project and platform.
type numbers struct{ *state }

func (s numbers) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+api.Path+"/build-numbers", key(s.get))
	mux.HandleFunc("PUT "+api.Path+"/build-numbers", key(s.set))
}

func (s numbers) get(w http.ResponseWriter, r *http.Request) {
	out := api.BuildNumbers{Project: r.URL.Query().Get("project"), Numbers: []api.BuildNumber{}}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range []string{"android", "ios"} {
		if n, ok := s.numbers[[2]string{out.Project, p}]; ok {
			out.Numbers = append(out.Numbers, n)
		}
	}
	answer(w, http.StatusOK, out)
}

func (s numbers) set(w http.ResponseWriter, r *http.Request) {
	var in api.NewBuildNumber
	project, platform := r.URL.Query().Get("project"), r.URL.Query().Get("platform")
	err := json.NewDecoder(r.Body).Decode(&in)
	if err == nil {
		err = build.CheckNumber(build.Platform(platform), in.Last)
	}
	if err != nil {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := [2]string{project, platform}
	if was := s.numbers[at].Last; was != "" && !in.Force && build.NumberBelow(in.Last, was) {
		Refuse(w, http.StatusBadRequest, build.Code(build.ErrInvalid), "The last build number is "+was)
		return
	}
	s.numbers[at] = api.BuildNumber{Platform: platform, Last: in.Last}
	answer(w, http.StatusOK, s.numbers[at])
}

// take returns the number of a submit, as the scheduler does; "" if the counter that it asks for is missing. The lock is held.
func (s numbers) take(project, platform, asked string) string {
	if !build.CountedNumber(asked) {
		return asked
	}
	at := [2]string{project, platform}
	n := s.numbers[at]
	if asked == build.NextNumber {
		n.Last, _ = build.NumberAfter(build.Platform(platform), n.Last) // "" for an error
	}
	if n.Last != "" {
		s.numbers[at] = n
	}
	return n.Last
}
