#include "fathom/cli/verbs.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdio>
#include <exception>

#include "fathom/base/error.h"
#include "fathom/cli/bench.h"
#include "fathom/cli/eval.h"
#include "fathom/cli/generate.h"
#include "fathom/cli/trace.h"
#include "fathom/cli/train.h"
#include "fathom/track/terminal.h"

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
      {"export", "a run's numbers as CSV or JSON lines", run_export},
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

// A corpus may have more shards than the usual 1,024 open files.
void allow_many_files() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int guarded(int (*body)(int, char**), int argc, char** argv) {
  const Style style(stderr);
  allow_many_files();
  try {
    const int exit_code = body(argc, argv);
    // A full disk behind a redirection shows when the last of the output is written.
    if ((std::fflush(stdout) != 0 || std::ferror(stdout) != 0) && exit_code == 0)
      fail("the output could not be written", "is there room where it goes?");
    return exit_code;
  } catch (const Error& e) {
    std::fflush(stdout);
    fmt::print(stderr, "{} {}\n", style.red("fathom:"), e.what());
    if (!e.hint().empty()) fmt::print(stderr, "{} {}\n", style.yellow("HINT:"), e.hint());
    return e.kind() == ErrorKind::kUsage ? 2 : 1;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "{} out of memory\n{} a smaller batch_size or block_size needs less\n",
               style.red("fathom:"), style.yellow("HINT:"));
  } catch (const std::exception& e) {
    fmt::print(stderr, "{} {}\n", style.red("fathom:"), e.what());
  }
  return 1;
}

}  // namespace fathom
