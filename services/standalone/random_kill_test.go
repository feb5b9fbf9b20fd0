package standalone_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/expo-free-agent/freeagent/shared/api"
)

// The size of TestRandomKills: `make kills` makes it larger.
const (
	killRuns, killSeed, killBuilds, killKills = "FREEAGENT_KILL_RUNS", "FREEAGENT_KILL_SEED", "FREEAGENT_KILL_BUILDS", "FREEAGENT_KILL_KILLS"
	// standstill is how long nothing may end while workers are idle: a lost lease is found and tried again well within it.
	standstill = 60 * time.Second
)

func settingOr(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%s: %v", variable, text, err)
	}
	return n
}

// TestRandomKills kills a server at random moments while retrying clients submit to it and workers build. Then every acknowledged
// build completes, once, and none is left behind while workers are idle. Every log is whole, as long as it is live and once it is
// archived: each line of the control plane is there once, and no number is missing.
func TestRandomKills(t *testing.T) {
	t.Parallel()
	first := settingOr(t, killSeed, 1)
	for seed := first; seed < first+settingOr(t, killRuns, 1); seed++ {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			k := &kills{
				archivingFarm: newArchivingFarm(t, archivingPlan{Settle: 3 * time.Second, StageTTL: 15 * time.Second}),
				random:        rand.New(rand.NewPCG(uint64(seed), 0)), left: map[string]bool{}, live: map[string][]string{},
			}
			for i := range 3 {
				run(t, []string{"FREEAGENT_API_KEY=" + farmKey}, "worker", "--server", k.url(), "--name", fmt.Sprint("mac", i),
					"--slots", "2", "--state-dir", t.TempDir(), "--executor", "fake", "--fake", "slow=400ms,lines=20,size=1KiB")
			}
			k.submitAll(t, settingOr(t, killBuilds, 40))
			stop := k.readLogs(t)
			k.killAll(settingOr(t, killKills, 8))
			k.senders.Wait()
			k.allComplete()
			stop()
			k.allLogged()
		})
	}
}

type kills struct {
	*archivingFarm

	random  *rand.Rand
	senders sync.WaitGroup
	mu      sync.Mutex
	left    map[string]bool
	total   int
	// acknowledged are the builds that clients know.
	acknowledged []string
	// live are the logs that were read whole before they were archived.
	live map[string][]string
}

// submitAll has four clients submit so many builds, each again until it is acknowledged.
func (k *kills) submitAll(t *testing.T, builds int) {
	t.Helper()
	source, next := project(t).Bytes(), make(chan int, builds)
	for i := range builds {
		next <- i
	}
	close(next)
	k.total = builds
	pauses := make(chan time.Duration, builds)
	for range builds {
		pauses <- time.Duration(k.random.IntN(400)) * time.Millisecond
	}
	for range 4 {
		client := k.client()
		k.senders.Go(func() {
			for i := range next {
				<-time.After(<-pauses)
				k.submitOnce(t, client, source, i)
			}
		})
	}
}

func (k *kills) submitOnce(t *testing.T, client *api.Client, source []byte, i int) {
	for try := 0; t.Context().Err() == nil; try++ {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		sub, err := client.Builds.Submit(ctx, api.Submit{
			Platform: []string{"ios", "android"}[i%2], Project: fmt.Sprint("app-", i%3), Source: bytes.NewReader(source),
		})
		cancel()
		if err == nil {
			k.mu.Lock()
			k.left[sub.ID], k.acknowledged = true, append(k.acknowledged, sub.ID)
			k.mu.Unlock()
			return
		}
		if try == 20 {
			t.Errorf("submit %d: %v", i, err)
			return
		}
		<-time.After(200 * time.Millisecond)
	}
}

// killAll kills the server at random moments, also while it starts.
func (k *kills) killAll(n int) {
	for range n {
		<-time.After(time.Duration(k.random.IntN(2500)) * time.Millisecond)
		k.kill()
		k.up()
	}
}

// allComplete waits until every acknowledged build has completed, and fails when nothing ends for a standstill.
func (k *kills) allComplete() {
	k.t.Helper()
	if len(k.left) != k.total {
		k.t.Errorf("%d builds were acknowledged, want %d", len(k.left), k.total)
	}
	client, moved := k.client(), time.Now()
	for len(k.left) > 0 {
		for id := range k.left {
			b, err := client.Builds.Get(k.t.Context(), id)
			if err != nil || !b.Final() {
				continue
			}
			if b.Status != "completed" || b.Result == nil {
				k.t.Errorf("build %s = %s (%s)", id, b.Status, b.Error)
			}
			delete(k.left, id)
			moved = time.Now()
		}
		if time.Since(moved) > standstill {
			k.tellStuck(client)
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(k.t.Context(), 30*time.Second)
	defer cancel()
	list, err := client.Builds.List(ctx, api.ListOptions{Limit: 1000})
	if err != nil || len(list.Builds) != k.total {
		k.t.Errorf("the list has %d builds, %v, want %d: none twice", len(list.Builds), err, k.total)
	}
}

func (k *kills) tellStuck(client *api.Client) {
	for id := range k.left {
		b, err := client.Builds.Get(k.t.Context(), id)
		k.t.Errorf("stuck for %s: build %s is %s, attempt %d, %q, %v", standstill, id, b.Status, b.Attempt, b.WaitingFor, err)
	}
}
