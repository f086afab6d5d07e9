#include "fathom/cli/generate.h"

#include "fathom/base/error.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

constexpr size_t kMaxPromptBytes = 16 << 20;

// `\n` and `\t` as typed in a shell; FILE:path reads a file.
std::string start_text(const std::string& start) {
  if (start.rfind("FILE:", 0) == 0) return read_text_file(start.substr(5), kMaxPromptBytes);
  std::string out;
  for (size_t i = 0; i < start.size(); ++i) {
    const char next = i + 1 < start.size() ? start[i + 1] : '\0';
    if (start[i] == '\\' && (next == 'n' || next == 't'))
      out += next == 'n' ? '\n' : '\t', ++i;
    else
      out += start[i];
  }
  return out;
}

}  // namespace

std::optional<GenerateRequest> parse_generate(const Arguments& arguments) {
  CommandLine line("generate", "RUN [--key=value ...]", "Text from a trained model.",
                   "fathom generate quickstart --start=\"ROMEO:\" --max_new_tokens=300");
  GenerateRequest request;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  FieldList list;
  add_fields(list, request.model);
  list.section("sampling");
  list.add("start", request.start, "text to go on from, or FILE:path");
  list.add("num_samples", request.num_samples, "texts").at_least(1);
  list.add("max_new_tokens", request.max_new_tokens, "tokens of each text").at_least(1);
  list.add("temperature", request.temperature, "divides the logits; small is greedy").above(0);
  list.add("top_k", request.top_k, "only the k likeliest tokens, None: all").at_least(1);
  list.add("seed", request.seed, "of the sampling").at_least(0);
  list.add<Exit>("exit", request.exit,
                 "which layer answers; first_confident: the first that halts, last: the last",
                 {{"first_confident", Exit::kFirstConfident}, {"last", Exit::kLast}});
  if (!parse_into(line, arguments, list)) return std::nullopt;
  request.start = start_text(request.start);
  if (request.start.empty()) misuse("start is empty", "the model needs a token to go on from");
  settle(request.model);
  request.notices = list.notices();
  return request;
}

}  // namespace fathom
