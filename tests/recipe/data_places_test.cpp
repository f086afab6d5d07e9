// Where a run's data lay, and where it is found again.
#include "fathom/train/recipe/data_places.h"

#include "config/config_testing.h"
#include "data/data_testing.h"
#include "fathom/config/config_file.h"
#include "fathom/data/prepare.h"
#include "fathom/train/recipe/registry.h"

namespace fathom {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::refusal_of;
using testing::spill;
namespace fs = std::filesystem;

// A run `first` in home/runs, trained on home/data/rain, which is asked about from elsewhere.
class DataPlacesTest : public testing::DataTest {
 protected:
  DataPlacesTest() {
    prepare_in("home", "the rain falls and the river rises\n");
    state_.config = preset_config("gpt2ish_shakespeare_cpu");
    state_.config.data.dataset = "rain";
    StageRun stage = {"", state_.config, {}, {Corpus::open("rain")}};
    state_.corpus_fingerprint = stage.corpora[0].fingerprint();
    fs::create_directories(temp_ / "home/runs/first/checkpoints/last");
    spill(temp_ / "home/runs/first/data.json", to_text(places_of({stage})));
    setenv("FATHOM_DATA", (temp_ / "nowhere").c_str(), 1);
  }
  ~DataPlacesTest() override { setenv("FATHOM_DATA", (temp_ / "data").c_str(), 1); }

  // `rain` in PLACE/data, which becomes the folder of corpora.
  void prepare_in(const std::string& place, const std::string& line) {
    setenv("FATHOM_DATA", (temp_ / (place + "/data")).c_str(), 1);
    std::string text;
    for (int i = 0; i < 100; ++i) text += line;
    spill(temp_ / "rain.txt", text);
    PrepareOptions options;
    options.what = temp_ / "rain.txt";
    options.force = true;
    options.tokenizer = "byte";
    prepare(options);
  }
  std::string found_by(const std::string& run, const std::string& name = "rain") {
    notices_.clear();
    return RunData(temp_ / (run + "/checkpoints/last"), state_)
        .open(name, state_.config, notices_)
        .path();
  }

  RunState state_;
  std::vector<std::string> notices_;
};

TEST_F(DataPlacesTest, TheUsualPlaceComesFirstAndNeedsNoWord) {
  setenv("FATHOM_DATA", (temp_ / "home/data").c_str(), 1);
  EXPECT_EQ(found_by("home/runs/first"), temp_ / "home/data/rain");
  EXPECT_THAT(notices_, IsEmpty());
}

TEST_F(DataPlacesTest, ElsewhereItIsFoundWhereItLay) {
  fs::create_directories(temp_ / "far");
  fs::rename(temp_ / "home/runs", temp_ / "far/runs");
  EXPECT_EQ(found_by("far/runs/first"), temp_ / "home/data/rain");
  EXPECT_THAT(notices_, ElementsAre(AllOf(HasSubstr("rain is read from"), HasSubstr("home/data"))));
}

TEST_F(DataPlacesTest, WhatMovedWithTheRunIsFoundBesideItsFolder) {
  fs::rename(temp_ / "home", temp_ / "moved");
  EXPECT_EQ(found_by("moved/runs/first"), temp_ / "moved/data/rain");
  fs::remove(temp_ / "moved/runs/first/data.json");
  EXPECT_EQ(found_by("moved/runs/first"), temp_ / "moved/data/rain")
      << "and of older runs, which have no such file";
  spill(temp_ / "moved/runs/first/data.json", "[]");
  EXPECT_EQ(found_by("moved/runs/first"), temp_ / "moved/data/rain") << "which only helps";
}

TEST_F(DataPlacesTest, AnotherTextOfItsNameIsNotTaken) {
  prepare_in("far", "the sea falls\n");
  EXPECT_EQ(found_by("home/runs/first"), temp_ / "home/data/rain");
  EXPECT_THAT(notices_,
              ElementsAre(HasSubstr("the files here are not those the run was trained on")));
  prepare_in("home", "the sea rises\n");
  setenv("FATHOM_DATA", (temp_ / "far/data").c_str(), 1);
  EXPECT_EQ(found_by("home/runs/first"), temp_ / "far/data/rain")
      << "there is no better one: who opens it says that it is another";
  setenv("FATHOM_DATA", (temp_ / "nowhere").c_str(), 1);
  const Error e = refusal_of([&] { found_by("home/runs/first"); });
  EXPECT_THAT(e.what(), AllOf(HasSubstr("no prepared corpus \"rain\""),
                              HasSubstr("trained on is not in "), HasSubstr("home/data/rain")));
  EXPECT_THAT(e.hint(), AllOf(HasSubstr("FATHOM_DATA"), HasSubstr("fathom prepare FILE")));
}

TEST_F(DataPlacesTest, OtherNamesAreLookedForAsEver) {
  EXPECT_THAT(
      refusal_of([&] { found_by("home/runs/first", "sea"); }).what(),
      AllOf(HasSubstr("no prepared corpus \"sea\""), ::testing::Not(HasSubstr("trained on"))));
}

TEST_F(DataPlacesTest, WhatIsGoneIsToldAlikeFromEverywhere) {
  fs::rename(temp_ / "home/data/rain", temp_ / "home/data/renamed");
  const Error away = refusal_of([&] { found_by("home/runs/first"); });
  setenv("FATHOM_DATA", (temp_ / "home/data").c_str(), 1);
  const Error home = refusal_of([&] { found_by("home/runs/first"); });
  EXPECT_EQ(home.hint(), away.hint());
  for (const Error& e : {away, home})
    EXPECT_THAT(e.what(), ::testing::EndsWith("; what the run was trained on is not in " +
                                              (temp_ / "home/data/rain")));
}

TEST_F(DataPlacesTest, AConfigurationFileFromElsewhereSaysWhereItsDataLies) {
  const auto hint_of = [&](const std::string& file, const std::string& line) {
    spill(temp_ / file, line);
    RunConfig config = preset_config("gpt2ish_shakespeare_cpu");
    FieldList list;
    add_fields(list, config);
    read_config_text(line, temp_ / file, list);
    return with_data_beside({ErrorKind::kFailure, "no corpus", "prepare it"}, config.data.dataset,
                            *list.find("dataset"))
        .hint();
  };
  const std::string rain = "dataset = \"rain\"\n", lies = "--dataset=" + (temp_ / "home/data/rain");
  EXPECT_THAT(hint_of("home/my.toml", rain), HasSubstr(lies));
  EXPECT_THAT(hint_of("home/runs/first/config.toml", rain), HasSubstr(lies));
  fs::create_directories(temp_ / "far");
  EXPECT_EQ(hint_of("far/my.toml", rain), "prepare it");
  EXPECT_EQ(hint_of("home/my.toml", "dataset = \"sea\"\n"), "prepare it");
  fs::rename(temp_ / "home/runs", temp_ / "far/runs");
  EXPECT_THAT(hint_of("far/runs/first/config.toml", rain), HasSubstr(lies)) << "by data.json";
}

TEST_F(DataPlacesTest, NamesMayHaveCommas) {
  const RunData data(temp_ / "home/runs/first/checkpoints/last", state_);
  EXPECT_THAT(data.parts("rain"), ElementsAre("rain"));
  EXPECT_THAT(data.parts("rain,sea"), ElementsAre("rain", "sea"));
  EXPECT_EQ(data.prepared("rain"), "rain");
  EXPECT_ANY_THROW(data.prepared("sea"));
}

TEST_F(DataPlacesTest, TheFileReadsBackAndIsTakenAsHostile) {
  const DataPlaces places = {{"rain", {"/a/caf\xE9", "0123"}}, {"../x", {"/b", ""}}};
  EXPECT_EQ(parse_data_places(to_text(places), "data.json"), places);
  for (const char* text : {"", "[]", "{\"a\": 1}", R"({"a": {"folder": "/x"}})",
                           R"({"a": {"folder": "x", "fingerprint": ""}})",
                           R"({"a": {"folder": "/x\u0000y", "fingerprint": ""}})"})
    EXPECT_THAT(refusal_of([&] { parse_data_places(text, "data.json"); }).what(),
                ::testing::StartsWith("data.json"))
        << text;
}

}  // namespace
}  // namespace fathom
