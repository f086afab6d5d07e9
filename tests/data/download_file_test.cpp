// Downloads into files: they go on where they stopped, are checked, and have a limit.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <optional>

#include "data/data_testing.h"
#include "data/loopback_server.h"
#include "fathom/data/download.h"

namespace fs = std::filesystem;

namespace fathom::testing {
namespace {

// A server that has a file and answers ranges, as far as `sends` bytes at a time.
struct FileServer {
  std::string content;
  std::string etag = "\"one\"";
  size_t sends = std::string::npos;  // and breaks off
  bool knows_ranges = true;
  bool knows_length = true;
  std::vector<std::string> requests;

  std::string operator()(const std::string& request) {
    requests.push_back(request);
    size_t start = 0;
    const size_t range = request.find("Range: bytes=");
    const bool current = request.find("If-Range: " + etag) != std::string::npos;
    if (knows_ranges && range != std::string::npos && current)
      start = std::stoul(request.substr(range + 13));
    if (start > 0 && start >= content.size())
      return "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */" +
             std::to_string(content.size()) + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const std::string head = start > 0 ? "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " +
                                             std::to_string(start) + "-" +
                                             std::to_string(content.size() - 1) + "/" +
                                             (knows_length ? std::to_string(content.size()) : "*")
                                       : std::string("HTTP/1.1 200 OK");
    return head + "\r\nETag: " + etag +
           (knows_length ? "\r\nContent-Length: " + std::to_string(content.size() - start) : "") +
           "\r\nConnection: close\r\n\r\n" + content.substr(start, sends);
  }
};

class DownloadFile : public ::testing::Test {
 protected:
  DownloadFile() { file_.content = std::string(30'000, 'a') + std::string(30'000, 'b') + "end"; }

  void fetch(uint64_t expected = 0, const std::string& sha256 = "") {
    DownloadOptions options;
    options.url = server_.url();
    options.timeout = 2;
    options.max_bytes = max_bytes_;
    download_file(options, path_, expected, sha256, "take --input FILE");
  }
  std::string kept() const { return slurp(path_ + ".part"); }

  TempFolder temp_;
  std::string path_ = temp_ / "downloads/rows.jsonl";
  uint64_t max_bytes_ = 1 << 20;
  FileServer file_;
  const LoopbackServer server_{[this](const std::string& request) { return file_(request); }};
};

TEST_F(DownloadFile, ComesWholeAndOnce) {
  fetch(60'003, sha256_hex(file_.content));
  EXPECT_EQ(slurp(path_), file_.content);
  EXPECT_FALSE(fs::exists(path_ + ".part"));
  EXPECT_FALSE(fs::exists(path_ + ".part.json"));
  fetch();
  EXPECT_EQ(file_.requests.size(), 1u) << "it is there";
}

TEST_F(DownloadFile, GoesOnBehindWhatHasCome) {
  file_.sends = 20'000;
  const Error error = caught([&] { fetch(); });
  EXPECT_THAT(error.what(), HasSubstr("cannot download"));
  EXPECT_THAT(error.hint(), HasSubstr("goes on behind it"));
  EXPECT_EQ(kept(), std::string(20'000, 'a'));
  EXPECT_ANY_THROW(fetch());
  EXPECT_EQ(kept().size(), 40'000u);
  file_.sends = std::string::npos;
  fetch(60'003, sha256_hex(file_.content));
  EXPECT_EQ(slurp(path_), file_.content);
  ASSERT_EQ(file_.requests.size(), 3u);
  EXPECT_THAT(file_.requests[1], HasSubstr("Range: bytes=20000-"));
  EXPECT_THAT(file_.requests[2], HasSubstr("Range: bytes=40000-"));
}

TEST_F(DownloadFile, BeginsAgainWhereTheServerHasAnotherVersion) {
  file_.sends = 20'000;
  EXPECT_ANY_THROW(fetch());
  file_.content = "other and shorter";
  file_.etag = "\"two\"";
  file_.sends = std::string::npos;
  fetch();
  EXPECT_EQ(slurp(path_), "other and shorter");
}

TEST_F(DownloadFile, BeginsAgainWhereTheServerKnowsNoRangesOrVersions) {
  file_.sends = 20'000;
  EXPECT_ANY_THROW(fetch());
  file_.knows_ranges = false;
  file_.sends = std::string::npos;
  fetch();
  EXPECT_EQ(slurp(path_), file_.content);

  fs::remove(path_);
  file_.etag = "W/\"weak\"";
  file_.sends = 20'000;
  EXPECT_ANY_THROW(fetch());
  file_.sends = std::string::npos;
  fetch();
  EXPECT_EQ(file_.requests.back().find("Range:"), std::string::npos);
  EXPECT_EQ(slurp(path_), file_.content);
}

TEST_F(DownloadFile, WhatIsThereButNoBeginningIsForgotten) {
  file_.sends = 20'000;
  EXPECT_ANY_THROW(fetch());
  spill(path_ + ".part", std::string(70'000, 'x'));  // longer than the file
  file_.sends = std::string::npos;
  fetch();
  EXPECT_EQ(slurp(path_), file_.content);
}

TEST_F(DownloadFile, AWrongFileIsNotKept) {
  EXPECT_THAT(caught([&] { fetch(5); }).what(), HasSubstr("has 60003 bytes, 5 were expected"));
  EXPECT_THAT(caught([&] { fetch(0, std::string(64, '0')); }).what(), HasSubstr("has the SHA-256"));
  EXPECT_TRUE(fs::is_empty(temp_ / "downloads"));
}

TEST_F(DownloadFile, TooLongIsToldBeforehand) {
  max_bytes_ = 60'002;
  EXPECT_THROW(fetch(), TooLong);
  EXPECT_FALSE(fs::exists(path_ + ".part"));
  EXPECT_THAT(caught([&] { fetch(); }).what(), HasSubstr("has 60,003 bytes, max_bytes is 60,002"));
}

// A server that does not say the length: what was there before counts as well.
TEST_F(DownloadFile, TooLongIsSeenWhereTheLengthIsNotSaid) {
  file_.knows_length = false;
  max_bytes_ = 40'000;
  EXPECT_THROW(fetch(), TooLong);
  const size_t first = kept().size();
  EXPECT_LE(first, 40'000u);
  EXPECT_THROW(fetch(), TooLong);
  EXPECT_LE(kept().size(), 40'000u) << "after " << first;
  EXPECT_THAT(caught([&] { fetch(); }).what(), HasSubstr("more than 40,000 bytes, max_bytes is"));
  max_bytes_ = 60'003;
  fetch();
  EXPECT_EQ(slurp(path_), file_.content);
  max_bytes_ = 60'002;
  EXPECT_THROW(fetch(), TooLong) << "a file that is there counts the same";
}

TEST_F(DownloadFile, WhatIsCompleteButHasNoNameYetIsTaken) {
  file_.sends = 60'003 - 1;
  EXPECT_ANY_THROW(fetch());
  spill(path_ + ".part", file_.content);  // the last byte came, and the process was killed
  file_.sends = std::string::npos;
  fetch(60'003, sha256_hex(file_.content));
  EXPECT_EQ(slurp(path_), file_.content);
  EXPECT_EQ(file_.requests.size(), 2u) << "nothing was fetched twice";
}

TEST_F(DownloadFile, ASecondOneIntoTheFolderIsRefused) {
  fs::create_directories(temp_ / "downloads");
  const int folder = ::open((temp_ / "downloads").c_str(), O_RDONLY | O_DIRECTORY);
  ASSERT_EQ(::flock(folder, LOCK_EX | LOCK_NB), 0);
  EXPECT_THAT(caught([&] { fetch(); }).what(), HasSubstr("another process is downloading"));
  EXPECT_TRUE(file_.requests.empty());
  ::close(folder);
  fetch();
  EXPECT_EQ(slurp(path_), file_.content);
}

// The note of a version never stands beside bytes of another one.
TEST_F(DownloadFile, OldBytesAreGoneBeforeTheNoteSpeaksOfNewOnes) {
  file_.sends = 20'000;
  EXPECT_ANY_THROW(fetch());
  file_.content = std::string(60'003, 'n');
  file_.etag = "\"two\"";
  fs::remove(path_ + ".part");
  fs::create_directories(path_ + ".part/in the way");  // it cannot be opened
  EXPECT_ANY_THROW(fetch());
  EXPECT_THAT(slurp(path_ + ".part.json"), HasSubstr("one"));
}

TEST_F(DownloadFile, RefusalsAreToldAndLeaveNothing) {
  const LoopbackServer missing("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone");
  DownloadOptions options;
  options.url = missing.url();
  options.max_bytes = 100;
  const Error error = caught([&] { download_file(options, path_, 0, "", "take --input FILE"); });
  EXPECT_THAT(error.what(), HasSubstr("the server answered 404"));
  EXPECT_EQ(error.hint(), "take --input FILE");
  EXPECT_TRUE(fs::is_empty(temp_ / "downloads"));
}

}  // namespace
}  // namespace fathom::testing
