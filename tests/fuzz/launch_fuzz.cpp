// A launcher's variables: lines of NAME=VALUE, and lists as Slurm writes them.
#include "fathom/parallel/launch.h"

#include <map>

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const size_t kind = in.below(3);
  if (kind == 1) {
    const std::string list = grown(in);
    std::string node;
    if (!accepts(list.size(), [&] { node = first_node(list); })) return;
    require(!node.empty() && node.size() < 254, "a list begins with a node's name");
    require(first_node(node) == node, "a name is a list of itself");
    return;
  }
  if (kind == 2) {
    const int node = in.number<uint8_t>();
    const std::string list = grown(in);
    int tasks = 0;
    if (accepts(list.size(), [&] { tasks = tasks_of_node(list, node); }))
      require(tasks > 0, "a node of a step has a task");
    return;
  }
  std::map<std::string, std::string> variables;
  while (!in.empty()) {
    const std::string name = in.text('=');
    variables[name] = in.text('\n');
  }
  Launch launch;
  const Environment environment = [&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  if (!accepts(1 << 12, [&] { launch = launch_of(environment); })) return;
  require(0 <= launch.rank && launch.rank < launch.size, "a rank is one of all");
  require(0 <= launch.local_rank && launch.local_rank < launch.local_size &&
              launch.local_size <= launch.size,
          "a local rank is one of this machine's");
  require(launch.size == 1 || !launch.file.empty() ||
              (!launch.address.empty() && launch.port > 0 && launch.port < 65536),
          "ranks have a place to meet");
}

}  // namespace fathom::fuzzing
