"""What each annotator does differently from the others, and which of it needs a word.

Each answer is held against what the *other* annotators' answers to the same example say (leave one out), so that nobody is
judged by their own vote. Each function gives rows with numbers and `flagged`; a person is flagged only on effect size and on
a p-value corrected by Holm, because a wrong name costs more than a missed one.

agreement, slices   answers that are one of a few labels: agreement, confusions, labels by slice
pace                speed, runs of one answer
sheet, likeness     any answers, by the task type's similarity: how much alike they are, agreement of answers as a whole
spam                answers that have nothing to do with what is asked
drift               agreement that falls, or labels that become frequent, in the course of somebody's work
copying, following  the same unusual answers as somebody else; suggestions taken over
gold                answers that were decided: ground truth
scales              ratings: severity and range
told                the sentences
"""
