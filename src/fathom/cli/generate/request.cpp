#include "fathom/cli/generate/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <system_error>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"
#include "fathom/model/spec/policy.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/track/run_folder.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

void add_sampler_fields(FieldList& list, GenerateRequest& request) {
  SamplerOptions& s = request.sampler;
  const char* const kDraws = "do_sample = true";
  const auto draws = [&request] { return request.do_sample; };
  list.add("do_sample", request.do_sample, "draw; False takes the likeliest token each time");
  list.add("temperature", s.temperature,
           "divides the logits; 0 takes the likeliest token each time")
      .at_least(0)
      .needs(kDraws, [&request] { return request.do_sample || request.sampler.temperature == 0; });
  list.add("top_k", s.top_k, "only the k likeliest tokens, None: all")
      .at_least(1)
      .at_most(1 << 30)
      .needs(kDraws, draws);
  list.add("top_p", s.top_p, "only the likeliest tokens that together have this probability")
      .above(0)
      .at_most(1)
      .needs(kDraws, draws);
  list.add("min_p", s.min_p, "only tokens at least so many times as likely as the likeliest")
      .at_least(0)
      .at_most(1)
      .needs(kDraws, draws);
  list.add("repetition_penalty", s.repetition_penalty,
           "more than 1 makes tokens that the text has produced less likely")
      .at_least(0.01)
      .at_most(100);
  list.add("seed", request.seed,
           "of the sampling, and of noise in loops; each text draws from a stream of its own")
      .at_least(0)
      .at_most(kMostSeed)
      .needs(kDraws, draws);
}

// `overflows`: whether a text can outgrow its window.
void add_window_fields(FieldList& list, Window& w, const std::function<bool()>& overflows) {
  const char* const kOverflows = "a text that outgrows its window";
  list.section("window");
  list.add("window", w.capacity, "tokens seen at once, 0: as many as the model has positions for")
      .at_least(0)
      .at_most(1 << 24);
  list.add("pinned", w.pinned, "first tokens that are always seen")
      .at_least(0)
      .at_most(1 << 24)
      .needs("overflow = recompute or half", [&w] { return w.overflow != Overflow::kStop; })
      .needs(kOverflows, overflows);
  list.add<Overflow>("overflow", w.overflow,
                     "when a text outgrows the window; recompute: slide it by a token, half: drop "
                     "half of it, stop: end the text",
                     {{"recompute", Overflow::kRecompute},
                      {"half", Overflow::kHalf},
                      {"stop", Overflow::kStop}})
      .needs(kOverflows, overflows);
}

void add_draft_fields(FieldList& list, GenerateRequest& request) {
  list.section("drafts");
  list.add<Draft>("draft", request.draft,
                  "who proposes tokens that one pass checks together, which gives the same text in "
                  "fewer passes; shift: the model, by its shift tokens, exit: its first layer that "
                  "answers. Needs do_sample = False",
                  {{"none", Draft::kNone}, {"shift", Draft::kShift}, {"exit", Draft::kExit}});
  list.add("draft_tokens", request.draft_tokens, "how many tokens further a draft looks")
      .at_least(1)
      .at_most(64)
      .needs("draft = shift or exit", [&request] { return request.draft != Draft::kNone; });
  list.add("lookahead", request.lookahead,
           "only say which token is likely so many places behind the text, 0: go on with the text")
      .at_least(0)
      .at_most(1 << 16);
}

bool is_one_folder(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return std::filesystem::equivalent(a, b, ignored);
}

// Settles the run's name, which nanoGPT's sample.py has as --out_dir.
void settle_run(GenerateRequest& request) {
  std::string& run = request.model.run;
  const std::string& out_dir = request.out_dir;
  if (run.empty() && out_dir.empty())
    misuse("RUN is missing: a run's name, or its folder",
           "for example: fathom generate quickstart --start=\"ROMEO:\" --max_new_tokens=300");
  if (out_dir.empty()) return;
  const std::filesystem::path path = std::filesystem::path(out_dir).lexically_normal();
  const std::string last = path.has_filename() ? path.filename() : path.parent_path().filename();
  const std::string named = kind_of(out_dir) == PathKind::kFolder ? out_dir : last;
  if (run.empty())
    run = named;
  else if (!is_one_folder(resolve_run(run, true), resolve_run(named, true)))
    misuse(fmt::format("the run is {} and out_dir = {} is another", in_quotes(run),
                       in_quotes(path_to_text(out_dir))),
           "leave one of them out");
}

}  // namespace

std::optional<GenerateRequest> parse_generate(const Arguments& arguments) {
  CommandLine line("generate", "RUN [--start=TEXT] [--key=value ...]", "Text from a trained model.",
                   "fathom generate quickstart --start=\"ROMEO:\" --max_new_tokens=300");
  GenerateRequest request;
  request.sampler.temperature = 0.8;
  request.sampler.top_k = 200;
  line.positional("RUN", request.model.run, "a run's name, or its folder", /*required=*/false);
  line.suggests(suggested_runs);
  RunConfig config;  // the model's, once it is known
  FieldList list;
  list.section("model");
  list.add("out_dir", request.out_dir, "nanoGPT's spelling of RUN: a folder, or a run of its name")
      .path();
  add_fields(list, request.model);
  add_policy_field(list, request.model);
  list.section("sampling");
  std::string start, stop;
  list.add("start", start,
           "text to go on from, or FILE:path; \\n and \\t are a line break and a tab, \\\\ is one "
           "backslash (\\\\n: a backslash and an n), in a file they are themselves. Any bytes that "
           "the tokenizer has tokens for. Left out: a line break")
      .any_bytes()
      .alias("prompt");
  list.add("num_samples", request.num_samples,
           "texts; the first appears as it grows, the others when all are done")
      .at_least(1)
      .at_most(4096);
  list.add("max_new_tokens", request.max_new_tokens, "tokens of each text")
      .at_least(1)
      .at_most(1 << 30)
      .alias("max_len");
  list.add("stop", stop,
           "a text ends before this one, which may be FILE:path and have \\n and \\t as start's; "
           "empty: it goes on")
      .any_bytes();
  list.add("end_of_text", request.end_of_text,
           "a text ends where the model says the token of a text's end, if its vocabulary has one");
  add_sampler_fields(list, request);
  const auto begins_with_noise = [&] {
    const Policy policy = make_policy(config.model);
    return std::any_of(policy.loops.begin(), policy.loops.end(), [](const LoopPolicy& loop) {
      return loop.noise > 0 && loop.noise_in_eval == NoiseInEval::kSame;
    });
  };
  const auto halts_by_draws = [&] {
    const HaltingConfig& h = config.model.halting;
    return h.acts() && h.rule == HaltRule::kBernoulli && !h.expects();
  };
  list.find("seed")
      ->or_needs("loops that begin with noise", begins_with_noise)
      .or_needs("tokens that halt by draws", halts_by_draws);
  list.add<Exit>("exit", request.exit,
                 "which layer answers; first_confident: the first that halts, last: the last",
                 {{"first_confident", Exit::kFirstConfident}, {"last", Exit::kLast}})
      .needs("a model with a halt_rule", [&] { return config.model.halting.acts(); });
  for (const char* key : {"threshold", "thresholds"})
    list.find(key)->needs("exit = first_confident",
                          [&] { return request.exit == Exit::kFirstConfident; });
  const auto grows = [&] { return request.lookahead == 0; };
  for (const char* key : {"num_samples", "max_new_tokens", "stop", "end_of_text", "do_sample",
                          "temperature", "top_k", "top_p", "min_p", "repetition_penalty"})
    list.find(key)->needs("lookahead = 0", grows);
  list.find("seed")->needs("lookahead = 0", grows).or_needs("what is drawn in passes", [&] {
    return begins_with_noise() || halts_by_draws();
  });
  const auto overflows = [&] { return outgrows_window(request, config.model); };
  add_window_fields(list, request.window, overflows);
  add_draft_fields(list, request);
  list.section("output");
  list.add("show_layers", request.show_layers,
           "for each of the first text's first so many tokens: what every layer would say at the "
           "last 8 places, and how sure it is, 0: nothing")
      .at_least(0)
      .at_most(1 << 16);
  list.add("json", request.json, "print one JSON object when all is done: texts and speed");
  // Of other programs that write text.
  list.refuse("model", "RUN is a run of this program",
              "`fathom generate RUN --start=TEXT`; `fathom runs` shows them");
  list.ignore("exp", "RUN says what it was trained as", /*takes_value=*/true);
  list.ignore("amp", "texts grow in single precision");
  if (!parse_into(line, arguments, list)) return std::nullopt;
  settle_run(request);
  if (list.given("start")) {
    request.start = start_text(start);
    if (request.start->empty())
      misuse("start is empty", "leave --start out: the text then begins with a line break");
  }
  request.stop = start_text(stop);
  if (request.sampler.temperature == 0) request.do_sample = false;
  request.sampler.greedy = !request.do_sample;
  settle(request.model);
  require_next_token(request.model, "generate");
  const RunState state = settle_state(request.model);
  config = state.config;
  apply_thresholds(request.model, config.model);
  refuse_sequences(make_policy(config.model));
  settle_drafts(list, request, config.model);
  require_room(request, state);
  request.notices = notices_of(list);
  add_idle_by_vocabulary(list, state, request);
  if (request.draft != Draft::kNone && request.window.overflow == Overflow::kRecompute &&
      overflows())
    request.notices.emplace_back(
        "overflow = recompute moves the window at each token from its end on, and nothing can be "
        "drafted there: --overflow=half goes on drafting");
  return request;
}

}  // namespace fathom
