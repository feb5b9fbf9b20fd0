package deployments_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "helm/freeagent"

func values(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(chartDir, "ci", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := yaml.UnmarshalStrict(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// chartValues are those of every file in ci.
func chartValues(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(chartDir, "ci", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no values to try the chart with: %v", err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".yaml"))
	}
	return names
}

func render(t *testing.T, v map[string]any) (map[string]string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	options := common.ReleaseOptions{Name: "builds", Namespace: "farm", Revision: 1, IsInstall: true}
	all, err := util.ToRenderValues(chart, v, options, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.RenderWithContext(t.Context(), chart, all)
}

// manifests are the objects that values give, by kind and name, each decoded strictly: a misspelled field is a fault.
func manifests(t *testing.T, name string) map[string]any {
	t.Helper()
	files, err := render(t, values(t, name))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{}
	for file, text := range files {
		if !strings.HasSuffix(file, ".yaml") {
			continue
		}
		for _, document := range regexp.MustCompile(`(?m)^---\n`).Split(text, -1) {
			if strings.TrimSpace(document) == "" {
				continue
			}
			key, object, err := decode([]byte(document))
			if err != nil {
				t.Fatalf("%s: %v\n%s", file, err, document)
			}
			if _, twice := all[key]; twice {
				t.Errorf("%s is there twice", key)
			}
			all[key] = object
		}
	}
	return all
}

func decode(document []byte) (key string, object any, err error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Metadata   struct {
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &head); err != nil {
		return "", nil, err
	}
	types := map[string]any{
		"apps/v1 Deployment": &appsv1.Deployment{}, "v1 Service": &corev1.Service{}, "v1 ServiceAccount": &corev1.ServiceAccount{}, "v1 Pod": &corev1.Pod{},
		"policy/v1 PodDisruptionBudget":          &policyv1.PodDisruptionBudget{},
		"autoscaling/v2 HorizontalPodAutoscaler": &autoscalingv2.HorizontalPodAutoscaler{},
		"networking.k8s.io/v1 NetworkPolicy":     &networkingv1.NetworkPolicy{},
		"networking.k8s.io/v1 Ingress":           &networkingv1.Ingress{},
		"keda.sh/v1alpha1 ScaledObject":          &scaledObject{},
	}
	object, known := types[head.APIVersion+" "+head.Kind]
	if !known {
		return "", nil, fmt.Errorf("%s %s is no kind that this test knows", head.APIVersion, head.Kind)
	}
	if head.Metadata.Namespace != "farm" {
		return "", nil, fmt.Errorf("namespace %q, want that of the release", head.Metadata.Namespace)
	}
	return head.Kind + " " + head.Metadata.Name, object, yaml.UnmarshalStrict(document, object)
}

// scaledObject is what KEDA 2.17 documents of its own, as far as the chart uses it.
type scaledObject struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       struct {
		ScaleTargetRef  struct{ APIVersion, Kind, Name string } `json:"scaleTargetRef"`
		MinReplicaCount int                                     `json:"minReplicaCount"`
		MaxReplicaCount int                                     `json:"maxReplicaCount"`
		PollingInterval int                                     `json:"pollingInterval"`
		CooldownPeriod  int                                     `json:"cooldownPeriod"`
		Advanced        struct {
			ScalingModifiers struct{ Formula, Target, MetricType string } `json:"scalingModifiers"`
		} `json:"advanced"`
		Triggers []struct {
			Type     string            `json:"type"`
			Name     string            `json:"name"`
			Metadata map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

func TestChartLints(t *testing.T) {
	t.Parallel()
	for _, name := range chartValues(t) {
		for _, m := range lint.RunAll(chartDir, values(t, name), "farm").Messages {
			if m.Severity >= support.WarningSev { // as with --strict
				t.Errorf("%s: %v", name, m)
			}
		}
	}
}

// TestChartRefuses what would give an installation that cannot work.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(map[string]any){
		"existingSecret": func(v map[string]any) { delete(v, "existingSecret") },
		"image.registry": func(v map[string]any) { delete(v, "image") },
		"bus.url":        func(v map[string]any) { v["bus"] = map[string]any{"workerUrl": "nats://h"} },
		"s3.endpoint":    func(v map[string]any) { delete(v, "s3") },
		"s3/endpoint":    func(v map[string]any) { v["s3"] = map[string]any{"endpoint": "https://s3.example.com"} },
		"replica":        func(v map[string]any) { v["bus"].(map[string]any)["replica"] = 3 },
		"LOG_LEVEL":      func(v map[string]any) { v["settings"] = map[string]any{"LOG_LEVEL": "debug"} },
		"/bus/replicas":  func(v map[string]any) { v["bus"].(map[string]any)["replicas"] = 2 },
		"/drainDelay":    func(v map[string]any) { v["drainDelay"] = "10" },
	} {
		v := values(t, "minimal")
		change(v)
		if _, err := render(t, v); err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), strings.ReplaceAll(want, "/", ".")) {
			t.Errorf("%s: %v, want it named", want, err)
		}
	}
}

func services() []string { return []string{"ingest", "scheduler", "monitor", "artifact"} }

// TestChartServices runs each service of the chart with the environment and the secrets that its pods get.
func TestChartServices(t *testing.T) {
	t.Parallel()
	for _, name := range chartValues(t) {
		all := manifests(t, name)
		for _, service := range services() {
			t.Run(name+"/"+service, func(t *testing.T) {
				t.Parallel()
				d, ok := all["Deployment builds-freeagent-"+service].(*appsv1.Deployment)
				if !ok {
					t.Fatalf("no Deployment; there are %q", slices.Collect(maps.Keys(all)))
				}
				pod := d.Spec.Template.Spec
				hardened(t, pod)
				files := mounted(t, pod)
				env := map[string]string{}
				for _, e := range pod.Containers[0].Env {
					env[e.Name] = e.Value
				}
				checkConfig(t, service, env, files)
				if delay := env["FREEAGENT_DRAIN_DELAY"]; seconds(t, delay)+45 >= *pod.TerminationGracePeriodSeconds {
					t.Errorf("termination after %d s, and the service takes %s and 45 s", *pod.TerminationGracePeriodSeconds, delay)
				}
			})
		}
	}
}

// mounted returns the content of the files that a pod sees.
func mounted(t *testing.T, pod corev1.PodSpec) map[string]string {
	t.Helper()
	made, certificates := madeSecrets(t), madeCertificates(t)
	volumes := map[string]map[string]string{}
	for _, v := range pod.Volumes {
		switch {
		case v.Secret != nil && len(v.Secret.Items) > 0:
			volumes[v.Name] = map[string]string{}
			for _, item := range v.Secret.Items {
				if made[item.Key] == "" {
					t.Errorf("%s is not among what freeagent secrets makes", item.Key)
				}
				volumes[v.Name][item.Path] = made[item.Key]
			}
		case v.Secret != nil, v.ConfigMap != nil:
			volumes[v.Name] = certificates
		}
	}
	files := map[string]string{}
	for _, m := range pod.Containers[0].VolumeMounts {
		if _, known := volumes[m.Name]; !known && !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("volume %s is mounted and not there", m.Name)
		}
		for name, content := range volumes[m.Name] {
			files[filepath.Join(m.MountPath, name)] = content
		}
	}
	return files
}

// hardened wants what the "restricted" standard of Kubernetes asks of a pod, and more.
func hardened(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	p := pod.SecurityContext
	if p == nil || !*p.RunAsNonRoot || *p.RunAsUser == 0 || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod's security = %+v", p)
	}
	if *pod.AutomountServiceAccountToken || *pod.EnableServiceLinks {
		t.Error("the pod gets a token or links")
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("security of %s = %+v", c.Name, s)
		}
		if c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s has no limit of memory", c.Name)
		}
		for _, v := range c.Env {
			if strings.HasSuffix(v.Name, "_KEY") || strings.Contains(v.Name, "PASSWORD") && !strings.HasSuffix(v.Name, "_FILE") {
				t.Errorf("%s is in the environment of %s", v.Name, c.Name)
			}
		}
	}
}

// TestChartFits: what selects others selects them, ports have the names that are used, policies let through what is called.
func TestChartFits(t *testing.T) {
	t.Parallel()
	all := manifests(t, "full")
	pods := map[string]map[string]string{}
	for key, object := range all {
		if d, ok := object.(*appsv1.Deployment); ok {
			pods[key] = d.Spec.Template.Labels
			if !covers(d.Spec.Selector.MatchLabels, d.Spec.Template.Labels) {
				t.Errorf("%s does not select its own pods", key)
			}
		}
	}
	for key, object := range all {
		var selector map[string]string
		switch o := object.(type) {
		case *corev1.Service:
			selector = o.Spec.Selector
		case *policyv1.PodDisruptionBudget:
			selector = o.Spec.Selector.MatchLabels
		case *networkingv1.NetworkPolicy:
			selector = o.Spec.PodSelector.MatchLabels
		case *autoscalingv2.HorizontalPodAutoscaler:
			if _, ok := all["Deployment "+o.Spec.ScaleTargetRef.Name]; !ok {
				t.Errorf("%s scales %s, which is not there", key, o.Spec.ScaleTargetRef.Name)
			}
			continue
		case *scaledObject:
			if _, ok := all["Deployment "+o.Spec.ScaleTargetRef.Name]; !ok || len(o.Spec.Triggers) != 2 {
				t.Errorf("%s = %+v", key, o.Spec)
			}
			continue
		default:
			continue
		}
		if n := count(pods, selector); n != 1 {
			t.Errorf("%s selects the pods of %d deployments, want 1", key, n)
		}
	}
	ingest := all["Deployment builds-freeagent-ingest"].(*appsv1.Deployment)
	if ingest.Spec.Replicas != nil {
		t.Error("the autoscaler's replicas are fixed")
	}
	for _, name := range []string{"NetworkPolicy builds-freeagent-worker", "Ingress builds-freeagent", "ServiceAccount builds-freeagent", "Pod builds-freeagent-test"} {
		if all[name] == nil {
			t.Errorf("no %s", name)
		}
	}
	worker := all["Deployment builds-freeagent-worker"].(*appsv1.Deployment)
	hardened(t, worker.Spec.Template.Spec)
	mounted(t, worker.Spec.Template.Spec)
	workerArguments(t, worker.Spec.Template.Spec.Containers[0].Args)
}

func covers(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func count(pods map[string]map[string]string, selector map[string]string) (n int) {
	for _, labels := range pods {
		if covers(selector, labels) {
			n++
		}
	}
	return n
}

// TestChartIsDocumented: each value of the chart is explained in its README's table, and no other.
func TestChartIsDocumented(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(chartDir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-zA-Z0-9.*]+)`").FindAllStringSubmatch(string(data), -1) {
		documented[m[1]] = true
	}
	for name := range chart.Values {
		covered := false
		for d := range documented {
			covered = covered || d == name || strings.HasPrefix(d, name+".")
		}
		if !covered {
			t.Errorf("README.md does not explain %s", name)
		}
	}
	for name := range documented {
		if top, _, _ := strings.Cut(name, "."); chart.Values[top] == nil {
			t.Errorf("README.md explains %s, which is no value", name)
		}
	}
}
