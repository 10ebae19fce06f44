// Command yamltext reads a JSON list of strings and prints, as a JSON list, which of them sigs.k8s.io/yaml reads as the
// same string where they stand unquoted after "value: ", as in the templates of kgateway's proxy.
package main

import (
	"encoding/json"
	"log"
	"os"

	"sigs.k8s.io/yaml"
)

func main() {
	var texts []string
	if err := json.NewDecoder(os.Stdin).Decode(&texts); err != nil {
		log.Fatal(err)
	}
	kept := make([]bool, len(texts))
	for index, text := range texts {
		var read map[string]any
		err := yaml.Unmarshal([]byte("env:\n- value: "+text+"\n  name: X\n"), &read)
		kept[index] = err == nil && same(read, text)
	}
	if err := json.NewEncoder(os.Stdout).Encode(kept); err != nil {
		log.Fatal(err)
	}
}

func same(read map[string]any, text string) bool {
	env, isList := read["env"].([]any)
	if !isList || len(env) != 1 || len(read) != 1 {
		return false
	}
	item, isMap := env[0].(map[string]any)
	return isMap && len(item) == 2 && item["value"] == text && item["name"] == "X"
}
