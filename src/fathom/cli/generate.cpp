#include "fathom/cli/generate.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"

namespace fathom {
namespace {

constexpr size_t kMaxPromptBytes = 16 << 20;

void add_sampler_fields(FieldList& list, GenerateRequest& request) {
  SamplerOptions& s = request.sampler;
  list.add("do_sample", request.do_sample, "draw; False takes the likeliest token each time");
  list.add("temperature", s.temperature, "divides the logits; small is greedy").above(0);
  list.add("top_k", s.top_k, "only the k likeliest tokens, None: all").at_least(1);
  list.add("top_p", s.top_p, "only the likeliest tokens that together have this probability")
      .above(0)
      .at_most(1);
  list.add("min_p", s.min_p, "only tokens at least so many times as likely as the likeliest")
      .at_least(0)
      .at_most(1);
  list.add("repetition_penalty", s.repetition_penalty,
           "more than 1 makes tokens that the text has produced less likely")
      .at_least(0.01)
      .at_most(100);
  list.add("seed", request.seed, "of the sampling; each text draws from a stream of its own")
      .at_least(0);
}

void add_window_fields(FieldList& list, Window& w) {
  list.section("window");
  list.add("window", w.capacity, "tokens seen at once, 0: as many as the model has positions for")
      .at_least(0);
  list.add("pinned", w.pinned, "first tokens that are always seen").at_least(0);
  list.add<Overflow>(
      "overflow", w.overflow,
      "when a text outgrows the window; recompute: slide it by a token, half: drop "
      "half of it, stop: end the text",
      {{"recompute", Overflow::kRecompute}, {"half", Overflow::kHalf}, {"stop", Overflow::kStop}});
}

}  // namespace

std::string start_text(const std::string& start) {
  if (start == "FILE:") misuse("FILE: names no file", "write FILE:path");
  if (start.rfind("FILE:", 0) == 0)
    return read_once(path_from_text(start.substr(5)), kMaxPromptBytes);
  if (!is_utf8(start))
    misuse(fmt::format("the text {} is not UTF-8", quoted_start(start)),
           "FILE:path takes bytes of every kind");
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

std::optional<GenerateRequest> parse_generate(const Arguments& arguments) {
  CommandLine line("generate", "RUN [--key=value ...]", "Text from a trained model.",
                   "fathom generate quickstart --start=\"ROMEO:\" --max_new_tokens=300");
  GenerateRequest request;
  request.sampler.temperature = 0.8;
  request.sampler.top_k = 200;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  FieldList list;
  add_fields(list, request.model);
  list.section("sampling");
  list.add("start", request.start, "text to go on from, or FILE:path").any_bytes().alias("prompt");
  list.add("num_samples", request.num_samples,
           "texts; the first appears as it grows, the others when all are done")
      .at_least(1)
      .at_most(4096);
  list.add("max_new_tokens", request.max_new_tokens, "tokens of each text")
      .at_least(1)
      .alias("max_len");
  add_sampler_fields(list, request);
  list.add<Exit>("exit", request.exit,
                 "which layer answers; first_confident: the first that halts, last: the last",
                 {{"first_confident", Exit::kFirstConfident}, {"last", Exit::kLast}});
  add_window_fields(list, request.window);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  request.start = start_text(request.start);
  if (request.start.empty()) misuse("start is empty", "the model needs a token to go on from");
  request.sampler.greedy = !request.do_sample;
  settle(request.model);
  require_causal(request.model, "generate");
  request.notices = list.notices();
  return request;
}

}  // namespace fathom
