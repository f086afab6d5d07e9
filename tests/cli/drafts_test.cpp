// `fathom generate`: drafts and looking ahead are settled, or refused with both keys named, before
// the engine is loaded.
#include "cli/cli_testing.h"
#include "cli/saved_run.h"
#include "fathom/cli/eval/request.h"
#include "fathom/cli/generate/request.h"
#include "fathom/cli/trace/request.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::Words;

class DraftRequests : public testing::CliTest {
 protected:
  DraftRequests() {
    save("plain", [](ModelConfig&) {});
    save("far", [](ModelConfig& m) {
      m.ahead.predict_ahead = true;
      m.ahead.max_shift = 3;
    });
    save("near", [](ModelConfig& m) {
      m.ahead.predict_ahead = true;
      m.ahead.max_shift = 1;
    });
    save("early", [](ModelConfig& m) { m.halting.rule = HaltRule::kMax; });
  }
  template <class Change>
  static void save(const std::string& run, Change change) {
    RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
    change(state.config.model);
    state.vocab_size += state.config.model.ahead.shift_tokens();
    testing::save_state(run, "last", state);
  }
};

TEST_F(DraftRequests, AreSettledByTheModel) {
  const auto parsed = [](const Words& words) { return *parse_generate(words); };
  const GenerateRequest shift = parsed({"far", "--draft=shift", "--do_sample=False"});
  EXPECT_EQ(shift.draft, Draft::kShift);
  EXPECT_EQ(shift.draft_tokens, 3) << "no further than the model looks";
  EXPECT_EQ(parsed({"far", "--draft=shift", "--do_sample=False", "--draft_tokens=2"}).draft_tokens,
            2);
  const GenerateRequest exit = parsed({"early", "--draft=exit", "--do_sample=False"});
  EXPECT_EQ(exit.exit, Exit::kFirstConfident) << "as without a draft: the text is the same";
  EXPECT_EQ(exit.draft_tokens, 4);
  EXPECT_EQ(parsed({"early", "--draft=exit", "--do_sample=False", "--exit=first_confident"}).exit,
            Exit::kFirstConfident);
  EXPECT_EQ(parsed({"far", "--lookahead=3"}).lookahead, 3);
  EXPECT_THAT(shift.notices, ElementsAre(HasSubstr("--overflow=half goes on drafting")));
  EXPECT_THAT(parsed({"far", "--draft=shift", "--do_sample=False", "--max_new_tokens=14"}).notices,
              IsEmpty())
      << "16 places: the shift token, a start of one, and those";
  EXPECT_EQ(parsed({"far"}).draft, Draft::kNone);
  EXPECT_THAT(parsed({"far", "--lookahead=3", "--top_k=5"}).notices,
              ElementsAre(AllOf(HasSubstr("top_k"), HasSubstr("lookahead = 0"))))
      << "nothing is drawn";
  for (const char* word :
       {"--num_samples=5", "--max_new_tokens=3", "--stop=x", "--end_of_text=False",
        "--do_sample=False", "--repetition_penalty=2", "--seed=3"})
    EXPECT_THAT(parsed({"far", "--lookahead=3", word}).notices,
                Contains(HasSubstr("lookahead = 0")))
        << word;
}

TEST_F(DraftRequests, AreRefusedWhereTheyContradict) {
  struct Refused {
    Words words;
    std::vector<const char*> said;
  };
  const std::vector<Refused> cases = {
      {{"far", "--draft=shift"}, {"draft = shift", "do_sample = true", "temperature = 0.8"}},
      {{"early", "--draft=exit", "--temperature=2"}, {"draft = exit", "temperature = 2"}},
      {{"plain", "--draft=shift", "--do_sample=False"}, {"draft = shift", "predict_ahead = true"}},
      {{"near", "--draft=shift", "--do_sample=False"}, {"draft = shift", "max_shift = 1"}},
      {{"plain", "--draft=exit", "--do_sample=False"}, {"draft = exit", "early layers"}},
      {{"far", "--draft=shift", "--do_sample=False", "--draft_tokens=4"},
       {"draft_tokens = 4", "max_shift = 3"}},
      {{"far", "--draft=shift", "--do_sample=False", "--draft_tokens=1"},
       {"draft_tokens = 1", "the next token itself"}},
      {{"far", "--policy=shift=3"}, {"shift=3", "text that grows"}},
      {{"far", "--lookahead=4"}, {"lookahead = 4", "max_shift = 3"}},
      {{"plain", "--lookahead=2"}, {"lookahead = 2", "predict_ahead = true", "plain"}},
      {{"far", "--lookahead=2", "--draft=shift", "--do_sample=False"},
       {"lookahead = 2", "draft = shift"}},
      {{"far", "--draft=guess"}, {"draft = ", "guess"}},
      {{"far", "--draft=shift", "--do_sample=False", "--draft_tokens=0"}, {"draft_tokens = 0"}},
  };
  for (const Refused& c : cases) {
    const Error e = refusal_of([&] { parse_generate(c.words); });
    EXPECT_EQ(e.kind(), ErrorKind::kUsage) << e.what();
    for (const char* part : c.said) EXPECT_THAT(e.what(), HasSubstr(part));
    EXPECT_FALSE(e.hint().empty()) << e.what();
  }
}

// Keys that a later token cannot see, be they the model's own or of this pass.
TEST_F(DraftRequests, HaveTheKeysOfEveryIteration) {
  const auto save_round = [](const char* run, int64_t cache) {
    RunState state = testing::saved_state("looped_ahead", "rain", 30);
    state.config.model.loop_halting.cache = cache;
    state.vocab_size += state.config.model.ahead.shift_tokens();
    testing::save_state(run, "last", state);
  };
  save_round("own", 2);
  save_round("whole", 0);
  const Words drafts = {"--draft=shift", "--do_sample=False"};
  const auto with = [&](Words words) {
    words.insert(words.end(), drafts.begin(), drafts.end());
    return words;
  };
  for (const Words& words : {Words{"own"}, Words{"whole", "--policy=loop_cache=2"}}) {
    const Error e = refusal_of([&] { parse_generate(with(words)); });
    EXPECT_THAT(e.what(), HasSubstr("loop_cache = 2"));
    EXPECT_THAT(e.hint(), HasSubstr("take loop_cache=0 in --policy"));
    EXPECT_NO_THROW(parse_generate(with({words.front(), "--policy=loop_cache=0"})));
  }
}

// What is drawn for whole sequences is of evaluations.
TEST_F(DraftRequests, GrowWithCountsThatAreFixed) {
  testing::save_state("round", "last", testing::saved_state("looped_tiny", "rain", 30));
  const auto refused = [](const auto& parse) { return std::string(refusal_of(parse).what()); };
  const Words words = {"round", "--policy=loop_counts_eval=sampled"};
  EXPECT_THAT(refused([&] { parse_generate(words); }), HasSubstr("a count for each sequence"));
  EXPECT_THAT(refused([&] { parse_trace(words); }), HasSubstr("a count for each sequence"));
  EXPECT_NO_THROW(parse_eval(words));
}

// The table of a checkpoint has the rows that its shifts need.
TEST_F(DraftRequests, ATableWithoutItsShiftsIsRefused) {
  RunState state = testing::saved_state("gpt2ish_shakespeare_cpu", "rain", 30);
  state.config.model.ahead.predict_ahead = true;
  state.config.model.backbone.vocab_size = state.vocab_size;  // and no row more
  const std::string folder = testing::save_state("cut", "last", state);
  EXPECT_THAT(refusal_of([&] { load_state(folder); }).what(), HasSubstr("shift tokens"));
  state.vocab_size += state.config.model.ahead.max_shift;
  EXPECT_EQ(text_vocab(load_state(testing::save_state("whole", "last", state))),
            state.vocab_size - 10);
}

}  // namespace
}  // namespace fathom
