// `fathom import` and `fathom export --hf` as a user types them, without the engine.
#include <sstream>

#include "cli/cli_testing.h"
#include "exchange/golden_model.h"
#include "fathom/data/corpus.h"
#include "fathom/track/run_store.h"
#include "fathom/train/recipe/run_state.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

class ImportTest : public CliTest {
 protected:
  static std::string tiny() { return golden_model(); }
};

TEST_F(ImportTest, MakesARunAndSaysWhatCanBeDoneWithIt) {
  const Outcome o = run({"import", tiny(), "--run-name", "tiny"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(o.err, "");
  EXPECT_THAT(o.out, HasSubstr("tiny: 35.84k parameters, 2 layers, 4 heads, 32 wide, context 24, "
                               "vocabulary 300, tokenizer of the kind bpe\n"));
  EXPECT_THAT(o.out, HasSubstr("`fathom generate tiny`"));
  EXPECT_TRUE(fs::exists(place_.path("runs/tiny/checkpoints/last/model.safetensors")));
  const std::string config = slurp(place_.path("runs/tiny/config.toml"));
  EXPECT_THAT(config, HasSubstr("n_embd = 32"));
  EXPECT_THAT(config, HasSubstr("activation = \"gelu_tanh\""));
  // The line that it prints, as far as the engine is not needed.
  EXPECT_THAT(run({"train", "gpt2", "runs/tiny/config.toml", "--initial_model=tiny", "--describe",
                   "--dataset=rain"})
                  .out,
              HasSubstr("n_embd = 32"));
}

TEST_F(ImportTest, GoesOutAsItCameIn) {
  ASSERT_EQ(run({"import", tiny(), "--run-name", "tiny"}).exit_code, 0);
  const Outcome o = run({"export", "tiny", "--hf", "models/out"});
  EXPECT_EQ(o.exit_code, 0) << o.err;
  EXPECT_THAT(o.out, HasSubstr("models/out: config.json, merges.txt, model.safetensors, "));
  for (const char* file : {"model.safetensors", "merges.txt"})
    EXPECT_TRUE(same_bytes(place_.path(std::string("models/out/") + file), tiny() + "/" + file));
}

TEST_F(ImportTest, NothingIsNoFolder) {
  for (const Words& words : {Words{"import", ""}, Words{"import", "", "--run-name", "tiny"}}) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, 2);
    EXPECT_THAT(o.err, HasSubstr("FOLDER is \"\""));
    EXPECT_THAT(o.err, HasSubstr("HINT: give the path"));
  }
}

TEST_F(ImportTest, ItsVocabularyPreparesACorpus) {
  ASSERT_EQ(run({"import", tiny(), "--run-name", "tiny"}).exit_code, 0);
  const Outcome o = run({"prepare", "rain.txt", "--name=wet", "--tokenizer=bpe",
                         "--vocabulary=" + tiny() + "/tokenizer.json", "--json"});
  ASSERT_EQ(o.exit_code, 0) << o.err;
  EXPECT_EQ(nlohmann::json::parse(o.out)["vocab_size"], 300);
  const RunState state = load_state(place_.path("runs/tiny/checkpoints/last"));
  EXPECT_FALSE(has_other_tokenizer(state, *Corpus::open("wet").tokenizer()));
}

TEST_F(ImportTest, NothingIsLeftOfAnImportThatFails) {
  const std::string folder = copy_of_golden_model(place_.path("bad"));
  change_tensors(folder, [](std::vector<OwnedTensor>& tensors) {
    tensors.back().bytes.replace(0, 4,
                                 std::string("\0\0\xc0\x7f", 4));  // found while it is written
  });
  const Outcome o = run({"import", "bad", "--run-name", "in"});
  EXPECT_EQ(o.exit_code, 1);
  EXPECT_THAT(o.err, HasSubstr("is not finite"));
  EXPECT_FALSE(fs::exists(place_.path("runs/in")));
  // And a run that was to be replaced stays.
  ASSERT_EQ(run({"import", tiny(), "--run-name", "in"}).exit_code, 0);
  const std::string before = slurp(place_.path("runs/in/checkpoints/last/state.json"));
  EXPECT_EQ(run({"import", "bad", "--run-name", "in", "--force"}).exit_code, 1);
  EXPECT_EQ(slurp(place_.path("runs/in/checkpoints/last/state.json")), before);
}

// The numbers in the store are of a run that is gone.
TEST_F(ImportTest, TheNumbersOfAnEarlierRunGo) {
  for (const bool cleared : {false, true}) {
    RunStore store(run_store_path());
    const std::vector<MetricValue> values = {{"eval/val/loss", 2.0}};
    store.add(store.create_run("tiny", "e", ""), 100, values);
    if (!cleared) fs::create_directories(place_.path("runs/tiny/checkpoints/last"));
    if (cleared) fs::remove_all(place_.path("runs/tiny"));
    Words words = {"import", tiny(), "--run-name", "tiny"};
    if (!cleared) words.emplace_back("--force");
    ASSERT_EQ(run(words).exit_code, 0);
    EXPECT_FALSE(store.find("tiny"));
    const Outcome o = run({"plot", "tiny"});
    EXPECT_EQ(o.exit_code, 1);
    EXPECT_THAT(o.err, HasSubstr("tiny was imported and has none"));
  }
}

TEST_F(ImportTest, MistakesAreTold) {
  const auto said = [&](const Words& words, int exit_code) {
    const Outcome o = run(words);
    EXPECT_EQ(o.exit_code, exit_code) << o.err;
    EXPECT_EQ(o.out, "");
    return o.err;
  };
  EXPECT_THAT(said({"import"}, 2), HasSubstr("FOLDER is missing"));
  EXPECT_THAT(said({"import", "nowhere"}, 2), HasSubstr("there is no folder \"nowhere\""));
  EXPECT_THAT(said({"import", "data"}, 2), HasSubstr("data has no config.json"));
  EXPECT_THAT(said({"import", tiny(), "--run-name=a/b"}, 2), HasSubstr("is not a name for a run"));
  EXPECT_THAT(said({"import", tiny(), "--exp=gtp2"}, 2), HasSubstr("did you mean gpt2?"));
  EXPECT_THAT(said({"export", "old", "--hf=out"}, 2), HasSubstr("there is no run \"old\""));
}

}  // namespace
}  // namespace fathom::testing
