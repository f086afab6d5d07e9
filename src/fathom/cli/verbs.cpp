#include "fathom/cli/verbs.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace fathom {

std::vector<Verb> verbs_of_folders();  // written by cmake/verbs.cmake

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = [] {
    std::vector<Verb> found = verbs_of_folders();
    std::sort(found.begin(), found.end(), [](const Verb& a, const Verb& b) {
      return std::tie(a.place, a.name) < std::tie(b.place, b.name);
    });
    return found;
  }();
  return all;
}

std::string overview() {
  std::string out =
      "fathom: a laboratory for transformers that decide how deep to think\n\n"
      "Usage: fathom VERB ...\n\n";
  for (const Verb& verb : verbs()) out += fmt::format("  {:<11} {}\n", verb.name, verb.summary);
  out +=
      "\n`fathom VERB --help` explains a verb. A first run:\n\n"
      "  fathom prepare shakespeare_char\n"
      "  fathom train quickstart\n";
  return out;
}

}  // namespace fathom
