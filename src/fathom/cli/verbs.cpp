#include "fathom/cli/verbs.h"

#include <fmt/format.h>

#include "fathom/cli/bench.h"
#include "fathom/cli/eval.h"
#include "fathom/cli/generate.h"
#include "fathom/cli/trace.h"
#include "fathom/cli/train.h"

namespace fathom {

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> all = {
      {"list", "every experiment and its presets", run_list},
      {"describe", "a preset's size, cost and settings", run_describe},
      {"doctor", "whether this machine and this build are fit for the work", run_doctor},
      {"prepare", "turn text into a corpus", run_prepare},
      {"train", "train a model", nullptr,
       [](const Arguments& a) { return parse_train(a).has_value(); }},
      {"eval", "loss of a trained model on a whole split", nullptr,
       [](const Arguments& a) { return parse_eval(a).has_value(); }},
      {"generate", "text from a trained model", nullptr,
       [](const Arguments& a) { return parse_generate(a).has_value(); }},
      {"trace", "which layer answered each token of a text", nullptr,
       [](const Arguments& a) { return parse_trace(a).has_value(); }},
      {"bench", "how fast this machine trains and decodes", nullptr,
       [](const Arguments& a) { return parse_bench(a).has_value(); }},
      {"export", "a run's numbers, or its model in Hugging Face's layout", run_export},
      verb_import(),
  };
  return all;
}

std::string overview() {
  std::string out =
      "fathom: a laboratory for transformers that decide how deep to think\n\n"
      "Usage: fathom VERB ...\n\n";
  for (const Verb& verb : verbs()) out += fmt::format("  {:<10} {}\n", verb.name, verb.summary);
  out +=
      "\n`fathom VERB --help` explains a verb. A first run:\n\n"
      "  fathom prepare shakespeare_char\n"
      "  fathom train quickstart\n";
  return out;
}

}  // namespace fathom
