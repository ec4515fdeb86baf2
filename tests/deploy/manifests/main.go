// Checks rendered Kubernetes manifests, read from standard input, without a cluster.
//
// Decodes each by the API's own types, so that an unknown or misplaced field is an error; holds every
// pod to the Pod Security Standard "restricted"; and follows what one manifest says of another: labels,
// ports, configuration, secrets, scale targets.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
)

func main() {
	objects, problems := decode(os.Stdin)
	if len(objects) == 0 {
		problems = append(problems, "nothing was rendered")
	}
	problems = append(problems, checkPods(objects)...)
	problems = append(problems, checkReferences(objects)...)
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, "deploy:", problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
	fmt.Printf("deploy: %d manifests follow the API's types, the restricted standard and each other\n", len(objects))
}

// decode reads every document by the type that its apiVersion and kind name.
func decode(input io.Reader) (objects []runtime.Object, problems []string) {
	codecs := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict)
	documents := yaml.NewYAMLReader(bufio.NewReader(input))
	for number := 1; ; number++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return objects, problems
		}
		if err != nil {
			return objects, append(problems, err.Error())
		}
		object, _, err := codecs.UniversalDeserializer().Decode(document, nil, nil)
		if err != nil {
			problems = append(problems, fmt.Sprintf("document %d: %v", number, err))
			continue
		}
		objects = append(objects, object)
	}
}
