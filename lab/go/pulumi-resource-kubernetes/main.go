// Command pulumi-resource-kubernetes is Pulumi's Kubernetes provider. Its own main embeds a schema that its release
// generates and its module lacks; the two files embedded here are copied out of that module when it is built.
package main

import (
	_ "embed"

	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"
	"github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/version"
)

//go:embed schema.json
var schema []byte

//go:embed terraform-mapping.json
var mapping []byte

func main() { provider.Serve("kubernetes", version.Version, schema, mapping) }
