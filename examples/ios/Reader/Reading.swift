import Foundation

/// Columns of a row, as model.json lists them, from the hands of a frame; NaN for a lost hand.
struct Rows {
    static let axes = "xyz"
    private let places: [(hand: String, value: Int)]

    init(columns: [String]) throws {
        places = try columns.map { column in
            let parts = column.components(separatedBy: "_")
            guard parts.count == 4, parts[2] == "hand", let point = Int(parts[3]),
                let axis = ["x", "y", "z"].firstIndex(of: parts[0])
            else { throw Unreadable.column(column) }
            return (parts[1] + "_hand", point * Rows.axes.count + axis)
        }
    }

    /// `hands`: the 21 points of "left_hand" and "right_hand", each point's x, y and z in turn.
    func row(_ hands: [String: [Float]]) -> [Float] {
        places.map { place in hands[place.hand]?[place.value] ?? Float.nan }
    }
}

enum Unreadable: Error {
    case column(String)
    case file(String)
}

/// The clip, or `most` evenly spaced frames of a longer one.
func thinned(_ clip: [[Float]], most: Int) -> [[Float]] {
    if clip.count <= most { return clip }
    return (0..<most).map { i in clip[Int((Double(i) + 0.5) * Double(clip.count) / Double(most))] }
}

/// The text of flat outputs: of each row the largest value; an index past the answers is no character.
func text(_ outputs: [Float], answers: [String]) -> String {
    let width = answers.count + 1
    var found = ""
    for row in 0..<(outputs.count / width) {
        var best = 0
        for i in 1..<width where outputs[row * width + i] > outputs[row * width + best] {
            best = i
        }
        if best < answers.count { found += answers[best] }
    }
    return found
}

/// Cuts a stream of frames into clips: from the first hand until the hands have rested.
final class Clips {
    static let rate = 30.0
    static let rest = 0.8
    static let least = 4
    static let pause = 0.5

    private let most: Int
    private var clip: [[Float]] = []
    private var seen = 0
    private var end = 0
    private var last = 0.0
    private var due: Double?

    init(most: Int) {
        self.most = most
    }

    /// The clip that ended with this frame, if one did. `time` in seconds.
    func push(_ row: [Float], hand: Bool, time: Double) -> [[Float]]? {
        var next = due ?? time
        if abs(time - next) > Clips.pause { next = time }
        // A slow phone's frame stands for the rows of its time: models were trained on this rate.
        let rows = max(0, Int(((time - next) * Clips.rate + 0.5).rounded(.down)) + 1)
        due = next + Double(rows) / Clips.rate
        for _ in 0..<rows {
            if hand {
                last = time
                seen += 1
            }
            if hand || !clip.isEmpty { clip.append(row) }
            if hand { end = clip.count }
            if !clip.isEmpty && (time - last >= Clips.rest || clip.count >= most) { return ended() }
        }
        return nil
    }

    private func ended() -> [[Float]]? {
        let whole = seen >= Clips.least ? Array(clip.prefix(end)) : nil
        clip = []
        seen = 0
        end = 0
        return whole
    }
}
