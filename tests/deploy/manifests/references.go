package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Secrets that an operator makes (docs/operations.md), with their keys.
var secrets = map[string][]string{
	"airline-booking":         {"db-password", "redis-password", "events-secret"},
	"airline-booking-migrate": {"db-password"},
}

// checkReferences follows what one manifest says of another.
func checkReferences(objects []runtime.Object) (problems []string) {
	tell := func(format string, arguments ...any) {
		problems = append(problems, fmt.Sprintf(format, arguments...))
	}
	known, namespaces := map[string]bool{}, map[string]bool{}
	for _, object := range objects {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		accessor, err := meta.Accessor(object)
		if err != nil {
			tell("%s: %v", kind, err)
			continue
		}
		if name := kind + " " + accessor.GetName(); known[name] {
			tell("%s is there twice", name)
		} else {
			known[name] = true
		}
		if kind != "Namespace" {
			namespaces[accessor.GetNamespace()] = true
		}
	}
	if len(namespaces) != 1 || namespaces[""] {
		tell("the manifests are not all in one namespace: %v", namespaces)
	}

	pods := podsOf(objects)
	for _, object := range objects {
		switch object := object.(type) {
		case *appsv1.Deployment:
			if !selects(object.Spec.Selector, []pod{{template: object.Spec.Template}}) {
				tell("Deployment %s does not select its own pods", object.Name)
			}
		case *corev1.Service:
			selector := &metav1.LabelSelector{MatchLabels: object.Spec.Selector}
			if !selects(selector, pods) {
				tell("Service %s selects no pod", object.Name)
			}
			for _, port := range object.Spec.Ports {
				if !hasPort(pods, port.TargetPort.StrVal) {
					tell("Service %s leads to port %q, which no pod has", object.Name, port.TargetPort.String())
				}
			}
		case *policyv1.PodDisruptionBudget:
			if !selects(object.Spec.Selector, pods) {
				tell("PodDisruptionBudget %s selects no pod", object.Name)
			}
		case *networkingv1.NetworkPolicy:
			if !selects(&object.Spec.PodSelector, pods) {
				tell("NetworkPolicy %s selects no pod", object.Name)
			}
			for _, rule := range object.Spec.Ingress {
				for _, port := range rule.Ports {
					if port.Port == nil || !hasPort(pods, port.Port.StrVal) {
						tell("NetworkPolicy %s opens port %v, which no pod names", object.Name, port.Port)
					}
				}
			}
		case *autoscalingv2.HorizontalPodAutoscaler:
			target := object.Spec.ScaleTargetRef
			if !known[target.Kind+" "+target.Name] {
				tell("HorizontalPodAutoscaler %s scales %s %s, which is not there", object.Name, target.Kind, target.Name)
			}
		}
	}
	for _, pod := range pods {
		if name := pod.template.Spec.ServiceAccountName; !known["ServiceAccount "+name] {
			tell("%s runs as the service account %q, which is not there", pod.owner, name)
		}
		for _, container := range pod.template.Spec.Containers {
			for _, from := range container.EnvFrom {
				if from.ConfigMapRef == nil || !known["ConfigMap "+from.ConfigMapRef.Name] {
					tell("%s takes settings from what is not there", pod.owner)
				}
			}
		}
		for _, volume := range pod.template.Spec.Volumes {
			if volume.Secret == nil {
				continue
			}
			keys, isKnown := secrets[volume.Secret.SecretName]
			if !isKnown {
				tell("%s mounts the secret %q, which nobody is told to make", pod.owner, volume.Secret.SecretName)
			}
			for _, item := range volume.Secret.Items {
				if !contains(keys, item.Key) {
					tell("%s mounts the key %q, which the secret has not", pod.owner, item.Key)
				}
			}
		}
	}
	return problems
}

func hasPort(pods []pod, name string) bool {
	for _, pod := range pods {
		for _, container := range pod.template.Spec.Containers {
			for _, port := range container.Ports {
				if port.Name == name {
					return true
				}
			}
		}
	}
	return false
}

func contains(words []string, word string) bool {
	for _, known := range words {
		if known == word {
			return true
		}
	}
	return false
}
