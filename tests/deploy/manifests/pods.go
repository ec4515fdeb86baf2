package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// pod is a template, and whose it is.
type pod struct {
	owner    string
	template corev1.PodTemplateSpec
	isJob    bool
}

func podsOf(objects []runtime.Object) (pods []pod) {
	for _, object := range objects {
		switch owner := object.(type) {
		case *appsv1.Deployment:
			pods = append(pods, pod{"Deployment " + owner.Name, owner.Spec.Template, false})
		case *batchv1.Job:
			pods = append(pods, pod{"Job " + owner.Name, owner.Spec.Template, true})
		}
	}
	return pods
}

// checkPods holds templates to the restricted standard, and to what this service's pods must say.
func checkPods(objects []runtime.Object) (problems []string) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		return []string{err.Error()}
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	for _, pod := range podsOf(objects) {
		tell := func(format string, arguments ...any) {
			problems = append(problems, pod.owner+": "+fmt.Sprintf(format, arguments...))
		}
		for _, result := range evaluator.EvaluatePod(restricted, &pod.template.ObjectMeta, &pod.template.Spec) {
			if !result.Allowed {
				tell("%s: %s", result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
		spec := pod.template.Spec
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			tell("it is given a token of the cluster's API")
		}
		for _, container := range spec.Containers {
			for _, missing := range lacks(container, pod.isJob) {
				tell("container %s has no %s", container.Name, missing)
			}
			for _, undeclared := range unmounted(container, spec.Volumes) {
				tell("container %s mounts %s, which is no volume of the pod", container.Name, undeclared)
			}
		}
	}
	return problems
}

// lacks lists what every container of ours must have and this one has not.
func lacks(container corev1.Container, isJob bool) (missing []string) {
	security := container.SecurityContext
	if security == nil || security.ReadOnlyRootFilesystem == nil || !*security.ReadOnlyRootFilesystem {
		missing = append(missing, "read-only root file system")
	}
	for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if request := container.Resources.Requests[resource]; request.IsZero() {
			missing = append(missing, "request of "+string(resource))
		}
	}
	if limit := container.Resources.Limits[corev1.ResourceMemory]; limit.IsZero() {
		missing = append(missing, "limit of memory")
	}
	if isJob {
		return missing
	}
	ports := map[string]bool{}
	for _, port := range container.Ports {
		ports[port.Name] = true
	}
	for _, want := range []struct {
		name, path string
		probe      *corev1.Probe
	}{
		{"startup", "/livez", container.StartupProbe},
		{"liveness", "/livez", container.LivenessProbe},
		{"readiness", "/readyz", container.ReadinessProbe},
	} {
		if want.probe == nil || want.probe.HTTPGet == nil || want.probe.HTTPGet.Path != want.path {
			missing = append(missing, want.name+" probe of "+want.path)
		} else if !ports[want.probe.HTTPGet.Port.StrVal] {
			missing = append(missing, "port that its "+want.name+" probe names")
		}
	}
	return missing
}

func unmounted(container corev1.Container, volumes []corev1.Volume) (undeclared []string) {
	known := map[string]bool{}
	for _, volume := range volumes {
		known[volume.Name] = true
	}
	for _, mount := range container.VolumeMounts {
		if !known[mount.Name] {
			undeclared = append(undeclared, mount.Name)
		}
	}
	return undeclared
}

// selects says whether a selector takes one of the pods; a selector that can't be read takes none.
func selects(selector *metav1.LabelSelector, pods []pod) bool {
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return false
	}
	for _, pod := range pods {
		if parsed.Matches(labels.Set(pod.template.Labels)) {
			return true
		}
	}
	return false
}
