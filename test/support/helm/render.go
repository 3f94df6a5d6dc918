// render CHART RELEASE [VALUES]: prints the manifests of a Helm chart, as `helm template` does, for the tests: Helm is
// in none of the registries that CI has. Its templates are Go's text/template with sprig's functions and a few
// of Helm's own; both libraries are the real ones here, and what Helm adds is below: include, tpl is not,
// required, toYaml, fail. Values come as YAML on standard input, over those of the chart.
package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type values = map[string]interface{}

func main() {
	chart, release := os.Args[1], os.Args[2]
	given, err := io.ReadAll(os.Stdin)
	must(err)
	own := read(filepath.Join(chart, "values.yaml"))
	info := read(filepath.Join(chart, "Chart.yaml"))
	scope := values{
		"Values":   over(own, parse(given)),
		"Chart":    values{"Name": info["name"], "Version": info["version"], "AppVersion": info["appVersion"]},
		"Release":  values{"Name": release, "Namespace": "default", "Service": "Helm"},
		"Template": values{"BasePath": chart + "/templates"},
	}
	set := template.New("chart").Option("missingkey=zero")
	set.Funcs(functions(set))
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	must(err)
	sort.Strings(files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(err)
		_, err = set.New(file).Parse(string(text))
		must(err)
	}
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "_") {
			continue
		}
		var out bytes.Buffer
		must(set.ExecuteTemplate(&out, file, scope))
		text := strings.ReplaceAll(out.String(), "<no value>", "")
		if strings.HasSuffix(file, ".txt") || strings.TrimSpace(text) == "" {
			continue
		}
		fmt.Printf("---\n# Source: %s\n%s\n", filepath.Base(file), text)
	}
}

func functions(set *template.Template) template.FuncMap {
	all := sprig.TxtFuncMap()
	// Helm takes these away.
	delete(all, "env")
	delete(all, "expandenv")
	all["include"] = func(name string, scope interface{}) (string, error) {
		var out bytes.Buffer
		err := set.ExecuteTemplate(&out, name, scope)
		return out.String(), err
	}
	all["required"] = func(message string, value interface{}) (interface{}, error) {
		if text, isText := value.(string); value == nil || (isText && text == "") {
			return nil, fmt.Errorf("%s", message)
		}
		return value, nil
	}
	all["toYaml"] = func(value interface{}) (string, error) {
		text, err := yaml.Marshal(value)
		return strings.TrimSuffix(string(text), "\n"), err
	}
	return all
}

// over is `own` with what `given` has instead; maps are joined, as Helm joins them.
func over(own, given values) values {
	for key, value := range given {
		inner, isMap := value.(values)
		before, wasMap := own[key].(values)
		if isMap && wasMap {
			own[key] = over(before, inner)
		} else {
			own[key] = value
		}
	}
	return own
}

func read(file string) values {
	text, err := os.ReadFile(file)
	must(err)
	return parse(text)
}

func parse(text []byte) values {
	parsed := values{}
	must(yaml.Unmarshal(text, &parsed))
	return parsed
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
